package schemas

import (
	"crypto/sha256"
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"tallystick/schemas/tallyv1"
)

// RowDigest is what is left of what was cut out of a settled row: enough to know
// again what comes again, and to add the money up. Hashes are those of [RowHash].
type RowDigest struct {
	// Placed tells whether the order was cut out; else Order is empty.
	Placed bool
	Order  RowOrderDigest
	// Payments are in the order of their arrival, before those that are whole.
	Payments []RowPaymentDigest
	// Ended tells whether the end was cut out.
	Ended bool
}

// RowOrderDigest is what is left of an order.
type RowOrderDigest struct {
	Total    int64
	Currency string
	// Rest is a hash of what it said beside its total.
	Rest uint64
}

// RowPaymentDigest is what is left of a payment. Without a currency it has not
// come: its reversal overtook it.
type RowPaymentDigest struct {
	// ID is a hash of the payment's id.
	ID       uint64
	Amount   int64
	Currency string
	// Method is a hash of the way it was paid, or 0 if it named none.
	Method       uint32
	Disposition  tallyv1.ConfirmRow_Disposition
	Confirmed    int64
	ReversedLate bool
}

// RowHash returns a hash of the parts: the first 64 bits of a SHA-256. It is
// never 0. Two that differ have the same hash with a probability of 2^-64.
func RowHash(parts ...string) uint64 {
	var room [512]byte
	b := room[:0]
	for _, p := range parts {
		b = appendPart(b, p)
	}
	sum := sha256.Sum256(b)
	return max(binary.LittleEndian.Uint64(sum[:]), 1)
}

func readRowDigest(s string, d *RowDigest) error {
	r := reader{rest: s}
	for r.next() {
		switch r.field {
		case 1:
			d.Placed = true
			r.fail(readRowOrderDigest(r.text(), &d.Order))
		case 2:
			if d.Payments == nil {
				d.Payments = make([]RowPaymentDigest, 0, r.count())
			}
			d.Payments = append(d.Payments, RowPaymentDigest{})
			r.fail(readRowPaymentDigest(r.text(), &d.Payments[len(d.Payments)-1]))
			r.repeat()
		case 3:
			d.Ended = r.bool()
		default:
			r.unknown()
		}
	}
	return r.err
}

func readRowOrderDigest(s string, o *RowOrderDigest) error {
	r := reader{rest: s}
	for r.next() {
		switch r.field {
		case 1:
			o.Total = r.int()
		case 2:
			o.Currency = r.utf8()
		case 3:
			o.Rest = r.fixed64()
		default:
			r.unknown()
		}
	}
	return r.err
}

func readRowPaymentDigest(s string, p *RowPaymentDigest) error {
	r := reader{rest: s}
	for r.next() {
		switch r.field {
		case 1:
			p.ID = r.fixed64()
		case 2:
			p.Amount = r.int()
		case 3:
			p.Currency = r.utf8()
		case 4:
			p.Method = r.fixed32()
		case 5:
			p.Disposition = tallyv1.ConfirmRow_Disposition(
				r.enum(int(tallyv1.ConfirmRow_UNKNOWN)))
		case 6:
			p.Confirmed = r.int()
		case 7:
			p.ReversedLate = r.bool()
		default:
			r.unknown()
		}
	}
	return r.err
}

// fixed64 reads 8 bytes that are not all 0.
func (r *reader) fixed64() uint64 {
	if r.wire != protowire.Fixed64Type {
		r.fail(errNotOurs)
	}
	b := r.fixed(8)
	if b == "" {
		return 0
	}
	return binary.LittleEndian.Uint64([]byte(b))
}

// fixed32 reads 4 bytes that are not all 0.
func (r *reader) fixed32() uint32 {
	if r.wire != protowire.Fixed32Type {
		r.fail(errNotOurs)
	}
	b := r.fixed(4)
	if b == "" {
		return 0
	}
	return binary.LittleEndian.Uint32([]byte(b))
}

// fixed reads n bytes of which one at least is not 0, or nothing.
func (r *reader) fixed(n int) string {
	if r.err == nil && n > len(r.rest) {
		r.fail(errCut)
	}
	if r.err != nil {
		return ""
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	for i := range b {
		if b[i] != 0 {
			return b
		}
	}
	r.fail(errNotOurs)
	return ""
}

func appendRowDigest(b []byte, d *RowDigest) []byte {
	if d.Placed {
		b = appendHead(b, 1, rowOrderDigestSize(&d.Order))
		b = appendInt(b, 1, d.Order.Total)
		b = appendText(b, 2, d.Order.Currency)
		b = appendFixed64(b, 3, d.Order.Rest)
	}
	for i := range d.Payments {
		p := &d.Payments[i]
		b = appendHead(b, 2, rowPaymentDigestSize(p))
		b = appendFixed64(b, 1, p.ID)
		b = appendInt(b, 2, p.Amount)
		b = appendText(b, 3, p.Currency)
		b = appendFixed32(b, 4, p.Method)
		b = appendInt(b, 5, int64(p.Disposition))
		b = appendInt(b, 6, p.Confirmed)
		b = appendBool(b, 7, p.ReversedLate)
	}
	return appendBool(b, 3, d.Ended)
}

func appendFixed64(b []byte, field int, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = append(b, byte(field<<3)|byte(protowire.Fixed64Type))
	return binary.LittleEndian.AppendUint64(b, v)
}

func appendFixed32(b []byte, field int, v uint32) []byte {
	if v == 0 {
		return b
	}
	b = append(b, byte(field<<3)|byte(protowire.Fixed32Type))
	return binary.LittleEndian.AppendUint32(b, v)
}

func rowDigestSize(d *RowDigest) int {
	n := boolSize(d.Ended)
	if d.Placed {
		n += nestedSize(rowOrderDigestSize(&d.Order))
	}
	for i := range d.Payments {
		n += nestedSize(rowPaymentDigestSize(&d.Payments[i]))
	}
	return n
}

func rowOrderDigestSize(o *RowOrderDigest) int {
	return intSize(o.Total) + textSize(o.Currency) + fixedSize(o.Rest, 8)
}

func rowPaymentDigestSize(p *RowPaymentDigest) int {
	return fixedSize(p.ID, 8) + intSize(p.Amount) + textSize(p.Currency) +
		fixedSize(uint64(p.Method), 4) + intSize(int64(p.Disposition)) +
		intSize(p.Confirmed) + boolSize(p.ReversedLate)
}

func fixedSize(v uint64, n int) int {
	if v == 0 {
		return 0
	}
	return 1 + n
}
