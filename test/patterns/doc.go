// Package patterns holds that the ideas of docs/patterns.md can be seen at work: one test for
// each, by the command as people run it, on a broker in this process.
package patterns
