//go:build !unguarded

package engine

// guarded makes the engine throw its client away when it doesn't know how a
// transaction ended. Builds with the tag unguarded go on with the client, as
// its documentation suggests; they exist to show that the tests notice.
const guarded = true
