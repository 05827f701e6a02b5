package views

import (
	"bytes"
	"encoding/binary"
	"math"

	"tallystick/schemas"
)

// The indexes of the table, each with a first byte of its own. Numbers are eight
// bytes, big endian, so that entries are in their order.
const (
	indexCustomer = 'c' // c, length, customer, ^time of the order
	indexOpen     = 'o' // o, time of the first record
	indexMoney    = 'm' // m, currency, total, held
)

// IndexVersion says which entries [Entries] makes. It goes up when they change.
const IndexVersion = 2

// currencyBytes is how long the code of a currency is.
const currencyBytes = 3

// Entries calls entry with each index entry of a row, which it may keep: the order
// among its customer's, and for an order that has not ended its age and the money
// that depends on it.
func Entries(_ string, b []byte, entry func([]byte)) {
	row, err := schemas.OrderViews.Unmarshal(b)
	if err != nil {
		return // the table's codec will say so
	}
	if o := Order(row); o.GetCustomerId() != "" {
		entry(number(CustomerPrefix(o.GetCustomerId()), math.MaxInt64-o.GetAtUs()))
	}
	if Ended(row) {
		return
	}
	entry(number(OpenPrefix(), row.GetFirstUs()))
	for _, a := range Amounts(row) {
		if len(a.Currency) == currencyBytes && (a.Total > 0 || a.Held() > 0) {
			entry(number(number(append(MoneyPrefix(), a.Currency...), a.Total), a.Held()))
		}
	}
}

func number(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

// CustomerPrefix is what the entries of a customer's orders begin with. Behind it
// the newest order comes first.
func CustomerPrefix(customer string) []byte {
	b := binary.AppendUvarint([]byte{indexCustomer}, uint64(len(customer)))
	return append(b, customer...)
}

// OpenPrefix is what the entries of orders that have not ended begin with. Behind
// it the oldest comes first.
func OpenPrefix() []byte { return []byte{indexOpen} }

// MoneyPrefix is what the entries of money in open orders begin with.
func MoneyPrefix() []byte { return []byte{indexMoney} }

// Money reads an entry of money: what one open order costs in a currency, and how
// much of that, or beside it, is held for it. It returns false if it is none.
func Money(entry []byte) (Amount, bool) {
	rest, ok := bytes.CutPrefix(entry, MoneyPrefix())
	if !ok || len(rest) != currencyBytes+16 {
		return Amount{}, false
	}
	n := rest[currencyBytes:]
	return Amount{
		Currency: string(rest[:currencyBytes]), Total: int64(binary.BigEndian.Uint64(n)),
		Paid: int64(binary.BigEndian.Uint64(n[8:])),
	}, true
}
