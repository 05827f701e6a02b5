// Package engine runs Goka processors exactly once on franz-go.
//
// Goka (github.com/lovoo/goka) is used as it is, through its builders. The
// engine stands where Goka expects a sarama consumer group, a producer, a
// topic manager and a storage, and puts every record's effects into one Kafka
// transaction:
//
//	poll -> begin -> deliver to Goka -> wait until every delivered record is marked
//	     -> write the dirty rows to the changelog -> offsets into the transaction
//	     -> commit acknowledged -> ONE batch {rows, changelog offsets} -> next
//
// Until the commit is acknowledged, the rows of the transaction live in memory
// (package state calls this the overlay), so that the local table is always a
// prefix of the committed changelog. After any error, or an outcome that
// nobody knows, the Kafka client is thrown away: a new one fences the old,
// asks for the committed offsets, brings the tables up to the changelog and
// goes on.
//
// Records that can't be processed never stop a worker. Callbacks are put
// through [Engine.Wrap]; what can't be decoded, fails a check or makes a
// callback panic ends in the dead letters, in the same transaction.
//
// A program needs the option list, the wrapper and nothing else of this
// package; see the example of [Engine.Run].
package engine
