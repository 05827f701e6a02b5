//go:build !unguarded

package simulation

// unguarded tells that the engine was built without its guard against the
// unknown end of a transaction, so that a run has to fail.
const unguarded = false
