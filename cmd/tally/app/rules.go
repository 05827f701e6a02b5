package app

// rules are the settings of what processors decide.
type rules struct{}
