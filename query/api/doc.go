// Package api is the HTTP side of the views: commands in, answers out.
//
// Commands go to their topic and are answered with where they are, not with what
// will come of them. The answer carries a token; whoever asks with it gets an answer
// that has taken the command in, from whichever worker he asks. A worker that does
// not have the order's partition finds the one that has it through the consumer
// group, and passes the question on, once.
//
// The package knows neither the engine nor the tables: it is given both as small
// interfaces, and so are its clock and its producer.
package api
