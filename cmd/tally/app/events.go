package app

import "tallystick/query/reading"

// aboutOrders are the topics that are keyed by order, in the order in which an
// order goes through them.
func (w wiring) aboutOrders() []reading.Topic { return reading.AboutOrders(w.names, w.chain) }

// decoders read the values of every topic of events.
func (w wiring) decoders() map[string]reading.Decoder { return reading.Decoders(w.names, w.chain) }
