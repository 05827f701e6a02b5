package schemas

import "tallystick/schemas/tallyv1"

// ValidateRows is the codec of the table of the processor validate.
var ValidateRows = RowCodec[*tallyv1.ValidateRow]{
	kind:  "row of validate",
	fresh: func() *tallyv1.ValidateRow { return new(tallyv1.ValidateRow) },
}
