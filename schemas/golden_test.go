package schemas_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tallystick/schemas"
)

// TestGolden reads the bytes that were written once, of every message, and says
// in JSON what they hold. The bytes are the input, so that -rewrite does not
// touch them: a schema that reads them otherwise breaks old records. A codec
// that no longer writes them as they are says so.
func TestGolden(t *testing.T) {
	datadriven.RunTest(t, "testdata/golden", func(t *testing.T, d *datadriven.TestData) string {
		b, err := hex.DecodeString(strings.Join(strings.Fields(d.Input), ""))
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		switch d.Cmd {
		case "orders":
			return golden(t, schemas.Orders, b)
		case "payments":
			return golden(t, schemas.Payments, b)
		case "confirmations":
			return golden(t, schemas.Confirmations, b)
		case "exceptions":
			return golden(t, schemas.Exceptions, b)
		case "order-commands":
			return golden(t, schemas.OrderCommands, b)
		case "order-checks":
			return golden(t, schemas.OrderChecks, b)
		case "customers":
			return golden(t, schemas.Customers, b)
		case "products":
			return golden(t, schemas.Products, b)
		case "stock":
			return golden(t, schemas.Stock, b)
		case "notices":
			return golden(t, schemas.Notices, b)
		case "corrections":
			return golden(t, schemas.Corrections, b)
		case "row":
			row, err := schemas.ConfirmRows.Unmarshal(b)
			if err != nil {
				return err.Error() + "\n"
			}
			text, err := schemas.ConfirmRows.JSON(row)
			if err != nil {
				return err.Error() + "\n"
			}
			again, err := schemas.ConfirmRows.Marshal(row)
			return verdict(text, bytes.Equal(again, b), err)
		}
		d.Fatalf(t, "no such command: %s", d.Cmd)
		return ""
	})
}

func golden[T proto.Message](t *testing.T, c schemas.Codec[T], b []byte) string {
	t.Helper()
	m, err := c.Unmarshal(b)
	if err != nil {
		return err.Error() + "\n"
	}
	text, err := c.JSON(m)
	if err != nil {
		return err.Error() + "\n"
	}
	if back, err := c.Unmarshal(text); err != nil || !proto.Equal(back, m) {
		t.Errorf("%s reads back as %v, %v", text, back, err)
	}
	again, err := c.Marshal(m)
	return verdict(text, bytes.Equal(again, b), err)
}

func verdict(text []byte, same bool, err error) string {
	switch {
	case err != nil:
		return err.Error() + "\n"
	case !same:
		return string(text) + "\nwritten otherwise today\n"
	}
	return string(text) + "\n"
}

// TestGoldenIsWhole: there are golden bytes of every event and every command.
func TestGoldenIsWhole(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "golden"))
	if err != nil {
		t.Fatal(err)
	}
	for _, envelope := range envelopes(t) {
		members := speech(envelope).Fields()
		for i := range members.Len() {
			if !holds(text, members.Get(i)) {
				t.Errorf("testdata/golden has no %s", members.Get(i).Name())
			}
		}
	}
}

func holds(text []byte, f protoreflect.FieldDescriptor) bool {
	return bytes.Contains(text, []byte(`"`+string(f.Name())+`":`))
}
