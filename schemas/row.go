package schemas

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
)

// ConfirmRow is a row of the table of the processor confirm: all that is known
// of one order, whose id is the row's key. It is the message
// [tallyv1.ConfirmRow] as a plain value; the .proto file says what each field
// means. Amounts are in minor units, times in microseconds since 1970.
type ConfirmRow struct {
	State tallyv1.ConfirmRow_State
	// Placed tells whether the order has come and is in Order; else that is empty.
	Placed bool
	Order  RowOrder
	// End is what ended the order if State is cancelled, rejected or expired.
	End RowEnd
	// CancelRefused tells that a cancel or a rejection came after the
	// confirmation.
	CancelRefused bool
	// Payments are in the order of their arrival.
	Payments []RowPayment
	// Latest is the latest time of a record that the row took in, until it is
	// settled.
	Latest int64
	// Digest is what is left of what was cut out of the row, or nil. It may be
	// shared by rows and must not be changed.
	Digest *RowDigest
	// Deadline is when the row is due, or 0.
	Deadline int64
}

// RowOrder is the order as it came first.
type RowOrder struct {
	CustomerID string
	Total      int64
	Currency   string
	Due        int64
	EventID    string
	At         int64
	// ContactName and ContactEmail say how to reach the customer, if the order did.
	ContactName  string
	ContactEmail string
}

// RowEnd is the cancel or the rejection that ended an order, or its deadline,
// which has a time alone.
type RowEnd struct {
	EventID string
	At      int64
	Reason  string
}

// RowPayment is a payment as it came first. Without a currency it has not come:
// its reversal overtook it.
type RowPayment struct {
	PaymentID   string
	Amount      int64
	Currency    string
	Method      string
	EventID     string
	At          int64
	Disposition tallyv1.ConfirmRow_Disposition
	// Confirmed is the part of Amount that is in the confirmation.
	Confirmed int64
	// ReversedLate tells that it was reversed after its fate had been stated.
	ReversedLate bool
	// Lapsed is when it was given up, if its order did not come.
	Lapsed int64
	// Recorded is the timestamp of its record, 0 if that is At.
	Recorded int64
}

// ConfirmRows is the codec of the table of the processor confirm.
var ConfirmRows ConfirmRowCodec

// ConfirmRowCodec turns rows into bytes and back. Its bytes are the Protobuf
// encoding of [tallyv1.ConfirmRow], written and read by hand because every
// record passes here twice. It reads exactly what it writes: a row with a field
// that it does not know was written by a newer version, and to write it back
// would lose that field. It is a goka.Codec of *ConfirmRow.
type ConfirmRowCodec struct{}

// Encode returns the bytes of value, which must be a *ConfirmRow.
func (c ConfirmRowCodec) Encode(value any) ([]byte, error) {
	row, ok := value.(*ConfirmRow)
	if !ok || row == nil {
		return nil, fmt.Errorf("schemas: %T is not a row of confirm", value)
	}
	return c.Marshal(row)
}

// Decode returns the *ConfirmRow that b holds. It keeps nothing of b.
func (c ConfirmRowCodec) Decode(b []byte) (any, error) {
	row, err := c.Unmarshal(b)
	if err != nil {
		return nil, err
	}
	return row, nil
}

// Marshal returns the bytes of row.
func (ConfirmRowCodec) Marshal(row *ConfirmRow) ([]byte, error) {
	n := rowSize(row)
	if row.Deadline == 0 {
		return appendRow(make([]byte, 0, n), row), nil
	}
	b := make([]byte, 0, deadlineBytes+n)
	b = append(b, tagDeadline)
	b = binary.LittleEndian.AppendUint64(b, uint64(row.Deadline))
	return appendRow(b, row), nil
}

// The deadline stands before all other fields, in a fixed number of bytes.
const (
	fieldDeadline = 15
	tagDeadline   = fieldDeadline<<3 | byte(protowire.Fixed64Type)
	deadlineBytes = 9
)

// ConfirmRowDeadline returns when the encoded row b is due, in microseconds since
// 1970, or 0 if it never is. It reads a few bytes, whatever the size of the row.
func ConfirmRowDeadline(b []byte) int64 {
	if len(b) < deadlineBytes || b[0] != tagDeadline {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(b[1:]))
}

// Unmarshal returns the row that b holds. It keeps nothing of b.
func (ConfirmRowCodec) Unmarshal(b []byte) (*ConfirmRow, error) {
	row := &ConfirmRow{Deadline: ConfirmRowDeadline(b)}
	if row.Deadline != 0 {
		b = b[deadlineBytes:]
	}
	if err := readRow(string(b), row); err != nil {
		return nil, fmt.Errorf("schemas: row of confirm: %w", err)
	}
	return row, nil
}

// JSON returns row as the JSON form of [tallyv1.ConfirmRow], in one line.
func (c ConfirmRowCodec) JSON(row *ConfirmRow) ([]byte, error) {
	b, err := c.Marshal(row)
	if err != nil {
		return nil, err
	}
	var m tallyv1.ConfirmRow
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("schemas: row of confirm: %w", err)
	}
	out, err := compactJSON(&m)
	if err != nil {
		return nil, fmt.Errorf("schemas: row of confirm: %w", err)
	}
	return out, nil
}

// readRow reads the fields of a ConfirmRow.
func readRow(s string, row *ConfirmRow) error {
	r := reader{rest: s}
	ended := false
	for r.next() {
		switch r.field {
		case 1:
			row.State = tallyv1.ConfirmRow_State(r.enum(int(tallyv1.ConfirmRow_ABANDONED)))
		case 2:
			row.Placed = true
			r.fail(readRowOrder(r.text(), &row.Order))
		case 3:
			ended = true
			r.fail(readRowEnd(r.text(), &row.End))
		case 4:
			row.CancelRefused = r.bool()
		case 5:
			if row.Payments == nil {
				row.Payments = make([]RowPayment, 0, r.count())
			}
			row.Payments = append(row.Payments, RowPayment{})
			r.fail(readRowPayment(r.text(), &row.Payments[len(row.Payments)-1]))
			r.repeat()
		case 6:
			row.Latest = r.int()
		case 7:
			row.Digest = new(RowDigest)
			r.fail(readRowDigest(r.text(), row.Digest))
		default:
			r.unknown()
		}
	}
	if ended != row.ended() {
		r.fail(errNotOurs)
	}
	return r.err
}

func readRowOrder(s string, o *RowOrder) error {
	r := reader{rest: s}
	for r.next() {
		switch r.field {
		case 1:
			o.CustomerID = r.utf8()
		case 2:
			o.Total = r.int()
		case 3:
			o.Currency = r.utf8()
		case 4:
			o.Due = r.int()
		case 5:
			o.EventID = r.utf8()
		case 6:
			o.At = r.int()
		case 7:
			o.ContactName = r.utf8()
		case 8:
			o.ContactEmail = r.utf8()
		default:
			r.unknown()
		}
	}
	return r.err
}

func readRowEnd(s string, e *RowEnd) error {
	r := reader{rest: s}
	for r.next() {
		switch r.field {
		case 1:
			e.EventID = r.utf8()
		case 2:
			e.At = r.int()
		case 3:
			e.Reason = r.utf8()
		default:
			r.unknown()
		}
	}
	return r.err
}

func readRowPayment(s string, p *RowPayment) error {
	r := reader{rest: s}
	for r.next() {
		switch r.field {
		case 1:
			p.PaymentID = r.utf8()
		case 2:
			p.Amount = r.int()
		case 3:
			p.Currency = r.utf8()
		case 4:
			p.Method = r.utf8()
		case 5:
			p.EventID = r.utf8()
		case 6:
			p.At = r.int()
		case 7:
			p.Disposition = tallyv1.ConfirmRow_Disposition(
				r.enum(int(tallyv1.ConfirmRow_UNKNOWN)))
		case 8:
			p.Confirmed = r.int()
		case 9:
			p.ReversedLate = r.bool()
		case 10:
			p.Lapsed = r.int()
		case 11:
			p.Recorded = r.int()
		default:
			r.unknown()
		}
	}
	return r.err
}

func appendRow(b []byte, row *ConfirmRow) []byte {
	b = appendInt(b, 1, int64(row.State))
	if row.Placed {
		b = appendHead(b, 2, rowOrderSize(&row.Order))
		o := &row.Order
		b = appendText(b, 1, o.CustomerID)
		b = appendInt(b, 2, o.Total)
		b = appendText(b, 3, o.Currency)
		b = appendInt(b, 4, o.Due)
		b = appendText(b, 5, o.EventID)
		b = appendInt(b, 6, o.At)
		b = appendText(b, 7, o.ContactName)
		b = appendText(b, 8, o.ContactEmail)
	}
	if row.ended() {
		b = appendHead(b, 3, rowEndSize(&row.End))
		b = appendText(b, 1, row.End.EventID)
		b = appendInt(b, 2, row.End.At)
		b = appendText(b, 3, row.End.Reason)
	}
	b = appendBool(b, 4, row.CancelRefused)
	for i := range row.Payments {
		p := &row.Payments[i]
		b = appendHead(b, 5, rowPaymentSize(p))
		b = appendText(b, 1, p.PaymentID)
		b = appendInt(b, 2, p.Amount)
		b = appendText(b, 3, p.Currency)
		b = appendText(b, 4, p.Method)
		b = appendText(b, 5, p.EventID)
		b = appendInt(b, 6, p.At)
		b = appendInt(b, 7, int64(p.Disposition))
		b = appendInt(b, 8, p.Confirmed)
		b = appendBool(b, 9, p.ReversedLate)
		b = appendInt(b, 10, p.Lapsed)
		b = appendInt(b, 11, p.Recorded)
	}
	b = appendInt(b, 6, row.Latest)
	if row.Digest != nil {
		b = appendHead(b, 7, rowDigestSize(row.Digest))
		b = appendRowDigest(b, row.Digest)
	}
	return b
}

// ended tells whether the row has an End.
func (row *ConfirmRow) ended() bool {
	switch row.State {
	case tallyv1.ConfirmRow_CANCELLED, tallyv1.ConfirmRow_REJECTED, tallyv1.ConfirmRow_EXPIRED:
		return row.Digest == nil || !row.Digest.Ended
	case tallyv1.ConfirmRow_AWAITING_ORDER, tallyv1.ConfirmRow_PENDING,
		tallyv1.ConfirmRow_CONFIRMED, tallyv1.ConfirmRow_ABANDONED:
	}
	return false
}

func rowSize(row *ConfirmRow) int {
	n := intSize(int64(row.State)) + boolSize(row.CancelRefused) + intSize(row.Latest)
	if row.Placed {
		n += nestedSize(rowOrderSize(&row.Order))
	}
	if row.ended() {
		n += nestedSize(rowEndSize(&row.End))
	}
	for i := range row.Payments {
		n += nestedSize(rowPaymentSize(&row.Payments[i]))
	}
	if row.Digest != nil {
		n += nestedSize(rowDigestSize(row.Digest))
	}
	return n
}

func rowOrderSize(o *RowOrder) int {
	return textSize(o.CustomerID) + intSize(o.Total) + textSize(o.Currency) +
		intSize(o.Due) + textSize(o.EventID) + intSize(o.At) +
		textSize(o.ContactName) + textSize(o.ContactEmail)
}

func rowEndSize(e *RowEnd) int {
	return textSize(e.EventID) + intSize(e.At) + textSize(e.Reason)
}

func rowPaymentSize(p *RowPayment) int {
	return textSize(p.PaymentID) + intSize(p.Amount) + textSize(p.Currency) +
		textSize(p.Method) + textSize(p.EventID) + intSize(p.At) +
		intSize(int64(p.Disposition)) + intSize(p.Confirmed) + boolSize(p.ReversedLate) +
		intSize(p.Lapsed) + intSize(p.Recorded)
}
