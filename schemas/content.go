package schemas

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tallystick/schemas/tallyv1"
)

// OrderCheckID returns the id of e: the one that it came with, or else one that
// follows from what it says.
func OrderCheckID(e *tallyv1.OrderCheckEvent) string {
	if id := e.GetMeta().GetId(); id != "" {
		return id
	}
	id := OrderCheckOrderID(e)
	switch v := e.GetEvent().(type) {
	case *tallyv1.OrderCheckEvent_StockReserved:
		return EventID("StockReserved", id)
	case *tallyv1.OrderCheckEvent_StockShort:
		return EventID("StockShort", append([]string{id}, v.StockShort.GetProductIds()...)...)
	case *tallyv1.OrderCheckEvent_FraudCleared:
		return EventID("FraudCleared", id)
	case *tallyv1.OrderCheckEvent_FraudSuspected:
		return EventID("FraudSuspected", id, v.FraudSuspected.GetReason())
	case *tallyv1.OrderCheckEvent_DetailsAccepted:
		c := v.DetailsAccepted.GetContact()
		return EventID("DetailsAccepted", id, c.GetName(), c.GetEmail())
	case *tallyv1.OrderCheckEvent_DetailsRefused:
		return EventID("DetailsRefused", id, v.DetailsRefused.GetReason())
	}
	return ""
}

// CommandID returns the id of c: the one that it came with, or else that of its
// content.
func CommandID(c *tallyv1.OrderCommand) string {
	if id := c.GetMeta().GetId(); id != "" {
		return id
	}
	return CommandContentID(c)
}

// CommandContentID returns an id that follows from what c asks for, whatever id
// and time it came with: the same for the same wish.
func CommandContentID(c *tallyv1.OrderCommand) string {
	switch v := c.GetCommand().(type) {
	case *tallyv1.OrderCommand_PlaceOrder:
		o := v.PlaceOrder
		var due int64
		if o.GetDue() != nil {
			due = MetaAt(&tallyv1.Meta{At: o.GetDue()}, time.Time{})
		}
		parts := append(make([]string, 0, 5+4*len(o.GetLines())),
			o.GetOrderId(), o.GetCustomerId(), strconv.FormatInt(o.GetTotal().GetMinor(), 10),
			o.GetTotal().GetCurrency(), strconv.FormatInt(due, 10))
		for _, l := range o.GetLines() {
			parts = append(parts, l.GetProductId(), strconv.FormatInt(l.GetQuantity(), 10),
				strconv.FormatInt(l.GetPrice().GetMinor(), 10), l.GetPrice().GetCurrency())
		}
		return EventID("PlaceOrder", parts...)
	case *tallyv1.OrderCommand_CancelOrder:
		return EventID("CancelOrder", v.CancelOrder.GetOrderId(), v.CancelOrder.GetReason())
	}
	return ""
}

// Reason returns the parts as one text that fits a reason or a note: what is too
// long is cut.
func Reason(parts ...string) string { return Cut(strings.Join(parts, "; "), MaxReasonBytes) }

// Cut returns text if it has at most limit bytes, which is 3 or more, or else as
// much of it as fits before an ellipsis.
func Cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	n := limit - len("…")
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
