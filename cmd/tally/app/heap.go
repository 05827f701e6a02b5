//go:build cgo

package app

// heapGrowth is how much the heap of a worker may grow until it is cleaned up, in percent
// of what is in use, unless GOGC says it. With tables on disk what is in use is bounded,
// mostly by --row-cache-mib; the more it may grow, the less time goes into looking
// through it.
const heapGrowth = 200
