// Package tallyv1 is the Go code of the messages in tally/v1. All but this file
// is made by the generator in schemas/internal/generate.
package tallyv1
