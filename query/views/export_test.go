package views

// NumberOf is for tests that make events up.
var NumberOf = numberOf
