package schemas

import "tallystick/schemas/tallyv1"

// OrderRows is the codec of the table of the processor orders.
var OrderRows = RowCodec[*tallyv1.OrderRow]{
	kind:  "row of orders",
	fresh: func() *tallyv1.OrderRow { return new(tallyv1.OrderRow) },
}
