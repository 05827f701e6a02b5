package schemas

// Malformed is what the bytes of a record decode to that is not valid. It is an
// error, so that whoever handles records can tell it from a message without
// knowing this package.
type Malformed struct {
	// Reason says what is wrong, in one line.
	Reason string
	// Bytes is the value as it came. It belongs to whoever gave it to Decode.
	Bytes []byte
}

// Error returns the reason.
func (m Malformed) Error() string { return "malformed: " + m.Reason }
