package schemas

import "tallystick/schemas/tallyv1"

// The codecs of the views.
var (
	// OrderViews is the codec of the table of views.
	OrderViews = RowCodec[*tallyv1.OrderView]{
		kind:  "row of views",
		fresh: func() *tallyv1.OrderView { return new(tallyv1.OrderView) },
	}
	// OrderViewChanges is the codec of what those who follow views are told.
	OrderViewChanges = RowCodec[*tallyv1.OrderViewed]{
		kind:  "change of a view",
		fresh: func() *tallyv1.OrderViewed { return new(tallyv1.OrderViewed) },
	}
)
