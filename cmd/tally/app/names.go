package app

import "tallystick/cmd/tally/app/source"

// joined is the topic from which confirm reads payments.
func (w wiring) joined() string {
	if w.chain {
		return w.names.PaymentsByOrder
	}
	return w.names.Payments
}

// loads are the topics that records of each kind are loaded into.
func (w wiring) loads() map[source.Kind]string {
	n := w.names
	if !w.chain {
		return map[source.Kind]string{source.Order: n.Orders, source.Payment: n.Payments}
	}
	return map[source.Kind]string{
		source.Command: n.OrderCommands, source.Payment: n.Payments, source.Customer: n.Customers,
		source.Product: n.Products, source.Stock: n.Stock,
	}
}
