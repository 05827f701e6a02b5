//go:build !cgo

package app

// heapGrowth is Go's own: without cgo the blocks and the memtables of the tables are on
// the heap too, so that twice of it is enough.
const heapGrowth = 100
