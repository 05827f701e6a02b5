package schemas

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"tallystick/schemas/tallyv1"
)

// The codecs of the service notify.
var (
	// NotifyResults is the codec of how attempts to tell somebody ended.
	NotifyResults = Codec[*tallyv1.NotifyResultEvent]{
		kind:  "notify result event",
		fresh: func() *tallyv1.NotifyResultEvent { return new(tallyv1.NotifyResultEvent) },
		check: checkNotifyResult,
	}
	// NotifyEffects is the codec of what the sender is asked to do.
	NotifyEffects = RowCodec[*tallyv1.SendConfirmation]{
		kind:  "effect of notify",
		fresh: func() *tallyv1.SendConfirmation { return new(tallyv1.SendConfirmation) },
	}
	// NotifyRows is the codec of the table of notify.
	NotifyRows = RowCodec[*tallyv1.NotifyRow]{
		kind:  "row of notify",
		fresh: func() *tallyv1.NotifyRow { return new(tallyv1.NotifyRow) },
	}
)

// NotifyRowDeadline returns the deadline of an encoded row of notify in
// microseconds since 1970, 0 if it has none.
func NotifyRowDeadline(b []byte) int64 {
	const field = 1 // the first that is written
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 || number != field || kind != protowire.VarintType {
		return 0
	}
	v, m := protowire.ConsumeVarint(b[n:])
	if m < 0 {
		return 0
	}
	return int64(v)
}

// attempt is what all results say.
type attempt interface {
	GetOrderId() string
	GetChannel() tallyv1.Channel
	GetAttempt() int32
}

// NotifyResultOrderID returns the id of the order that e is about, or nothing.
func NotifyResultOrderID(e *tallyv1.NotifyResultEvent) string {
	switch v := e.GetEvent().(type) {
	case *tallyv1.NotifyResultEvent_AttemptAccepted:
		return v.AttemptAccepted.GetOrderId()
	case *tallyv1.NotifyResultEvent_AttemptRefused:
		return v.AttemptRefused.GetOrderId()
	case *tallyv1.NotifyResultEvent_AttemptUnsettled:
		return v.AttemptUnsettled.GetOrderId()
	}
	return ""
}

func checkNotifyResult(e *tallyv1.NotifyResultEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	switch v := e.GetEvent().(type) {
	case *tallyv1.NotifyResultEvent_AttemptAccepted:
		return within("attempt_accepted", checkAttempt(v.AttemptAccepted, ""))
	case *tallyv1.NotifyResultEvent_AttemptRefused:
		r := v.AttemptRefused
		err := checkAttempt(r, r.GetReason())
		if err == nil && r.GetRetryAfterUs() < 0 {
			err = errors.New("retry_after_us is negative")
		}
		return within("attempt_refused", err)
	case *tallyv1.NotifyResultEvent_AttemptUnsettled:
		return within("attempt_unsettled",
			checkAttempt(v.AttemptUnsettled, v.AttemptUnsettled.GetReason()))
	}
	return errNoEvent
}

func checkAttempt(a attempt, reason string) error {
	if err := checkTold(a.GetOrderId(), a.GetChannel(), 1, 1); err != nil {
		return err
	}
	if a.GetAttempt() < 1 {
		return fmt.Errorf("attempt is %d, they begin at 1", a.GetAttempt())
	}
	return checkText("reason", reason, MaxReasonBytes)
}
