package schemas

import (
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas/tallyv1"
)

// MetaAt returns when the event of m happened, in microseconds since 1970. The
// time of its record counts if m has none.
func MetaAt(m *tallyv1.Meta, recorded time.Time) int64 {
	if at := m.GetAt(); at != nil {
		return at.GetSeconds()*microsPerSecond + int64(at.GetNanos())/1000
	}
	return Micros(recorded)
}

// MetaOf returns the meta of an event with that id, of that time in microseconds
// since 1970, that follows from those causes.
func MetaOf(id string, at int64, causes ...string) *tallyv1.Meta {
	return &tallyv1.Meta{Id: id, Causes: causes, At: &timestamppb.Timestamp{
		Seconds: at / microsPerSecond,
		Nanos:   int32(at%microsPerSecond) * 1000,
	}}
}

// PlacedID returns the id of the event that placed o, which is that of m, its
// meta, or follows from what all services know of an order.
func PlacedID(m *tallyv1.Meta, o *tallyv1.OrderPlaced) string {
	if m.GetId() != "" {
		return m.GetId()
	}
	var due int64
	if o.GetDue() != nil {
		due = MetaAt(&tallyv1.Meta{At: o.GetDue()}, time.Time{})
	}
	return EventID("OrderPlaced", o.GetOrderId(), o.GetCustomerId(),
		strconv.FormatInt(o.GetTotal().GetMinor(), 10), o.GetTotal().GetCurrency(),
		strconv.FormatInt(due, 10))
}

const microsPerSecond = 1_000_000
