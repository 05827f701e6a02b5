// Package schemas is the contract: what the records of the topics hold, and the
// codecs between their bytes and Go values.
//
// Every event topic has one envelope with a oneof of its events, defined in
// tally/v1 and generated into the package tallyv1. The codecs of these topics
// are total: bytes that are not a valid record decode to [Malformed], never to
// an error, because one bad record must not stop a worker. They take the binary
// form and the JSON form. The codec of a table is the opposite: a row that we
// wrote and cannot read is an error, and has to stop the worker.
//
// A value that a codec returned is valid: what is required is there, and
// everything is within the limits that this package names.
package schemas

//go:generate go run ./internal/generate
