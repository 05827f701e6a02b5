package rekey

import "maps"

// Headers returns the headers that go on with a record whose value is written
// anew in the form that contentType names: those that it came with, and its form
// instead of the one that it had, if it named one.
func Headers(came map[string][]byte, contentType string) map[string][]byte {
	const form = "content-type"
	if _, ok := came[form]; !ok {
		return came
	}
	headers := maps.Clone(came)
	headers[form] = []byte(contentType)
	return headers
}
