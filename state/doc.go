// Package state keeps the tables of a stream processor on local disk, in one
// Pebble database per process.
//
// A table partition has three layers. Writes go to an overlay in memory and
// stay there until [DB.Commit], which writes the rows of all tables that took
// part in a transaction, their changelog offsets and the commit time as one
// atomic batch. A bounded cache keeps committed rows that were touched lately.
// Below both lies Pebble. The processor's own reads see the overlay; readers
// outside, through [Table.Committed], see only what is committed.
//
// # Durability
//
// The changelog in Kafka is the truth and the database is a copy of a prefix
// of it. Commits are therefore not synced: rows and offset are in one batch,
// so whatever a crash or a power cut leaves behind is a prefix of the
// committed transactions, with the offset that belongs to it, and the rest is
// read again from the changelog. This holds for a process that is killed as
// well: it loses what Pebble had not handed to the system yet, which is the
// last commits, of a size of some 32 KiB.
//
// A database that cannot show that it is such a prefix (a bad checksum, a
// missing file, missing commits) is set aside and begun anew; see [Open].
// Nothing is ever set aside silently, and nothing that was set aside is
// deleted.
//
// With each commit goes a fingerprint of all rows of the table; see package
// fingerprint. Two tables that were made in different ways, by live commits, a
// restore or a replay, can be compared by it, and a scan that comes to another one
// tells of damage that neither checksums nor the count of commits have shown.
//
// After a crash of the machine a disk may have lost even what was synced. So a table
// that may have been through one is in doubt: [Table.Check] reads it once and holds it
// against its fingerprint, and until then it is of no use to anybody. The crash of a
// process puts nothing in doubt; trust.go tells how the two are told apart.
//
// With [Options.InMemory] there is no disk: every start reads the changelogs from
// their beginning, and rows take memory for as long as the DB is open.
//
// # Key spaces
//
// All keys begin with the number of their range, four bytes, big endian.
// Range 0 is the catalogue; every table partition has a range of its own,
// numbered by the catalogue:
//
//	0 'f'           → format of the database, two bytes
//	0 't' <number>  → identity of the table partition that owns the range
//	n 'c'           → count of the commits, added up as merge operands
//	n 'm'           → mark: changelog offset, commit time, expected count, fingerprint
//	n 'r' <key>     → row
//	n 'd' <at><key> → nothing: the row's deadline, eight bytes, big endian
//	n 'i' <entry><key> → nothing: an index entry of the row, escaped; see index.go
//
// The byte after the number is the space. A row can have any key, the empty
// one and Goka's "__offset" included, and never meets a mark.
//
// # Use with Goka
//
// [*Table] implements the Storage interface of
// github.com/lovoo/goka/storage. Where Goka's documentation and its own
// storages disagree, the methods say which reading they follow.
package state
