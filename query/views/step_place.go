package views

import (
	"cmp"
	"slices"

	"tallystick/schemas/tallyv1"
)

// place notes where a record is, and tells whether that is new.
func place(row *Row, e Event) bool {
	i, found := slices.BinarySearchFunc(row.GetRecords(), e.Topic,
		func(r *tallyv1.OrderView_Records, topic tallyv1.OrderView_Topic) int {
			return cmp.Compare(r.GetTopic(), topic)
		})
	if !found {
		row.Records = slices.Insert(row.Records, i, &tallyv1.OrderView_Records{Topic: e.Topic})
	}
	r := row.Records[i]
	var offset, at int64
	n := len(r.GetOffsets())
	for k := range n {
		offset += int64(r.GetOffsets()[k])
		at += r.GetTimesUs()[k]
		if offset >= e.Offset {
			return offset > e.Offset && insert(r, e, k)
		}
	}
	switch {
	case r.GetLeftOut() > 0 && e.Offset <= r.GetLastOffset():
		return false
	case n >= MaxPlaces:
		r.LeftOut++
		r.LastOffset = e.Offset
		return true
	}
	r.Offsets = append(r.Offsets, uint64(e.Offset-offset))
	r.Kinds = append(r.Kinds, e.Kind)
	r.TimesUs = append(r.TimesUs, e.Recorded-at)
	return true
}

// insert puts a record that comes late before the k-th: a dead letter that was
// mended keeps its place.
func insert(r *tallyv1.OrderView_Records, e Event, k int) bool {
	var offset, at int64
	for i := range k {
		offset += int64(r.GetOffsets()[i])
		at += r.GetTimesUs()[i]
	}
	distance, later := uint64(e.Offset-offset), e.Recorded-at
	r.Offsets[k] -= distance
	r.TimesUs[k] -= later
	r.Offsets = slices.Insert(r.Offsets, k, distance)
	r.TimesUs = slices.Insert(r.TimesUs, k, later)
	r.Kinds = slices.Insert(r.Kinds, k, e.Kind)
	return true
}

// A Place is where a record about an order is. Its partition is that of the order's
// id.
type Place struct {
	Topic  tallyv1.OrderView_Topic
	Offset int64
	// Kind names the event or command, such as OrderPlaced.
	Kind string
	// Time is the record's timestamp, in microseconds since 1970.
	Time int64
}

// Places returns where the records about an order are, by topic and offset, and how
// many there are beyond those that the row keeps.
func Places(row *Row) (list []Place, leftOut int64) {
	for _, r := range row.GetRecords() {
		var offset, at int64
		for i, distance := range r.GetOffsets() {
			offset += int64(distance)
			at += r.GetTimesUs()[i]
			list = append(list, Place{r.GetTopic(), offset, KindOf(r.GetTopic(), r.GetKinds()[i]), at})
		}
		leftOut += r.GetLeftOut()
	}
	return list, leftOut
}

// Seen tells whether the row has taken in what is in a topic up to an offset, as
// far as it is about the order.
func Seen(row *Row, topic tallyv1.OrderView_Topic, offset int64) bool {
	for _, r := range row.GetRecords() {
		if r.GetTopic() != topic {
			continue
		}
		last := r.GetLastOffset()
		if r.GetLeftOut() == 0 {
			for _, distance := range r.GetOffsets() {
				last += int64(distance)
			}
		}
		return last >= offset
	}
	return false
}
