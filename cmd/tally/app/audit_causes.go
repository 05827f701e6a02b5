package app

import (
	"fmt"
	"io"

	"tallystick/query/audit"
	"tallystick/query/audit/causes"
)

// writeCauses writes what was found about causes and effects, in one line.
func writeCauses(w io.Writer, r *causes.Report) {
	if r == nil {
		return
	}
	verdict := "ok"
	if r.Wrong() > 0 {
		verdict = fmt.Sprintf("%s missing, %s without a cause, %s repeated",
			thousands(r.Missing), thousands(r.Orphans), thousands(r.Repeated))
	}
	notes := ""
	if r.Pending > 0 {
		notes = "; " + thousands(r.Pending) + " to come"
	}
	if r.Unresolved > 0 {
		notes += "; nobody knows how " + count(r.Unresolved, "notice") + " ended, see tally notices ls"
	}
	if r.Horizon {
		notes += "; records were deleted by their age, so that nothing is known to be missing"
	}
	fmt.Fprintf(w, "causes: %s (%s, %s between them%s)\n", verdict, count(r.Events, "event"),
		count(r.Checked, "link"), notes)
}

// fingerprintsText is one word, or two, for the fingerprints of all partitions: the
// worst that is true of one. Of an empty one nothing need be recorded.
func fingerprintsText(all []audit.Fingerprint) string {
	text := audit.OK
	for _, worse := range []string{audit.Unrecorded, audit.Moving, audit.Differences} {
		for _, f := range all {
			if f.State == worse && (f.Rows > 0 || worse != audit.Unrecorded) {
				text = worse
			}
		}
	}
	return text
}
