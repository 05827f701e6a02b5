package notify

import (
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// What is said follows from the row and the event in hand, so that it can be said
// again in the same words.

func (s *step) saySent(d *tallyv1.NotifyRow_Delivery, e Ended) {
	s.out.Notices = append(s.out.Notices, &tallyv1.NoticeEvent{
		Meta: s.meta("ConfirmationSent", d, e.At, e.ID),
		Event: &tallyv1.NoticeEvent_ConfirmationSent{ConfirmationSent: &tallyv1.ConfirmationSent{
			OrderId: s.order, Channel: d.GetChannel(), Attempts: max(tries(d), 1),
		}},
	})
}

func (s *step) sayBounced(d *tallyv1.NotifyRow_Delivery, e Ended) {
	s.out.Notices = append(s.out.Notices, &tallyv1.NoticeEvent{
		Meta: s.meta("ConfirmationBounced", d, e.At, e.ID),
		Event: &tallyv1.NoticeEvent_ConfirmationBounced{
			ConfirmationBounced: &tallyv1.ConfirmationBounced{
				OrderId: s.order, Channel: d.GetChannel(), Attempts: tries(d), Reason: d.GetReason(),
			},
		},
	})
}

// sayUnresolved says that nobody knows, since at, by the result of that id if there
// is one.
func (s *step) sayUnresolved(d *tallyv1.NotifyRow_Delivery, at int64, result string) {
	s.out.Notices = append(s.out.Notices, &tallyv1.NoticeEvent{
		Meta: s.meta("ConfirmationUnresolved", d, at, result),
		Event: &tallyv1.NoticeEvent_ConfirmationUnresolved{
			ConfirmationUnresolved: &tallyv1.ConfirmationUnresolved{
				OrderId: s.order, Channel: d.GetChannel(), Attempts: max(tries(d), 1),
				Reason: d.GetReason(),
			},
		},
	})
}

func (s *step) meta(
	kind string, d *tallyv1.NotifyRow_Delivery, at int64, result string,
) *tallyv1.Meta {
	causes := []string{s.row.GetEventId()}
	if result != "" {
		causes = append(causes, result)
	}
	id := schemas.EventID(kind, s.order, d.GetChannel().String(), digits(d.GetAttempt()))
	return schemas.MetaOf(id, max(at, s.row.GetAtUs()), causes...)
}
