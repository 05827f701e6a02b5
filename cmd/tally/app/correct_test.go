package app

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tallystick/engine"
	"tallystick/query/audit"
)

// office is a cluster in which a payment of 900 was booked as 90.
func office(t *testing.T) (at string, work func()) {
	t.Helper()
	at, dir := cluster(t), t.TempDir()
	file := filepath.Join(dir, "booked.jsonl")
	write(t, file, `{"orderPlaced":{"orderId":"o1","total":{"minor":"900","currency":"EUR"}}}
{"paymentReceived":{"paymentId":"p1","orderId":"o1","amount":{"minor":"90","currency":"EUR"}}}
{"orderPlaced":{"orderId":"o2","total":{"minor":"10","currency":"EUR"}}}
{"paymentReceived":{"paymentId":"p2","orderId":"o2","amount":{"minor":"10","currency":"EUR"}}}
{"orderPlaced":{"orderId":"o3","total":{"minor":"30","currency":"EUR"}}}
`)
	tally(t, ExitOK, "topics", "apply", at, "--partitions", "3")
	tally(t, ExitOK, "load", at, file)
	work = func() {
		t.Helper()
		tally(t, ExitOK, "run", "confirm", "views", at, "--state-dir", filepath.Join(dir, "state"),
			"--until-idle=300ms")
	}
	work()
	return at, work
}

// correction is what tally correct printed.
func correction(t *testing.T, args ...string) corrected {
	t.Helper()
	out, _ := tally(t, ExitOK, append([]string{"correct", "-o", "json", "--by", "ann"}, args...)...)
	var done corrected
	if err := json.Unmarshal([]byte(out), &done); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	return done
}

// TestCorrect reverses and rebooks a payment: the order is confirmed by the money as
// it was, the same again writes nothing, and the audit adds it up.
func TestCorrect(t *testing.T) {
	at, work := office(t)
	rebook := []string{"o1", at, "--payment=p1", "--amount=900", "--reason=a digit was lost"}
	dry := correction(t, append(rebook, "--dry-run")...)
	if len(dry.Corrections) != 2 || dry.Corrections[0].Offset != nil || !dry.DryRun {
		t.Fatalf("a dry run says %+v", dry)
	}
	done := correction(t, rebook...)
	again := correction(t, rebook...)
	for i, one := range done.Corrections {
		same := again.Corrections[i]
		if one.ID != dry.Corrections[i].ID || one.Known || one.Offset == nil || !same.Known ||
			same.ID != one.ID || *same.Offset != *one.Offset || same.Partition != one.Partition {
			t.Errorf("%+v, then %+v, first %+v", one, same, dry.Corrections[i])
		}
	}
	cash := correction(t, "o3", at, "--adjust=30", "--payment=cash-1", "--reason=cash", "--id=c-3")
	if id := cash.Corrections[0].ID; id != "c-3" {
		t.Errorf("the id is %s", id)
	}
	correction(t, "o2", at, "--void=p2", "--reason=booked for the wrong order")
	work()
	out, _ := tally(t, ExitOK, "order", "show", "o1", at, "-o", "json")
	var shown shownOrder
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]shownEvent{}
	for _, e := range shown.Events {
		kinds[e.Type] = e
	}
	void, adjust := kinds["PaymentVoided"], kinds["PaymentAdjusted"]
	confirmed := strings.Join(kinds["OrderConfirmed"].Causes, " ")
	if shown.State != "confirmed" || void.ID != done.Corrections[0].ID ||
		strings.Join(void.Causes, "") != kinds["PaymentReceived"].ID ||
		strings.Join(adjust.Causes, "") != void.ID || !strings.Contains(confirmed, adjust.ID) {
		t.Errorf("order show prints\n%s", out)
	}
	out, _ = tally(t, ExitOK, "audit", at, "-o", "json")
	r := report(t, out)
	if got, want := *r.Money["EUR"], (audit.Money{
		Received: 1030, Confirmed: 940, Reversed: 90, Adjusted: 930, Voided: 90,
	}); got != want || r.Audit != audit.OK || r.Dispositions["void too late"] != 1 {
		t.Errorf("got %+v of %+v, want %+v", got, r, want)
	}
	out, _ = tally(t, ExitOK, "audit", at)
	const want = "by corrections: EUR 930 of what was received, 90 of what was reversed"
	if !strings.Contains(out, want) {
		t.Errorf("no %q in\n%s", want, out)
	}
	remembered(t, at)
}

// remembered holds that what looks back knows of corrections: the story has the row
// before and after them, and the rules as they are say what was said.
func remembered(t *testing.T, at string) {
	t.Helper()
	rows := map[string]string{}
	for _, e := range story(t, at, "o1").Events {
		if e.Row != nil {
			rows[e.Type] = string(e.Row.After)
		}
	}
	if !strings.Contains(rows["PaymentVoided"], "REVERSED") ||
		!strings.Contains(rows["PaymentAdjusted"], "CONFIRMED") {
		t.Errorf("the rows after corrections are %v", rows)
	}
	tally(t, ExitOK, "whatif", at, "--expect=none")
}

// TestCorrectRefuses holds that what makes no sense is refused by name, that nothing
// is written then, and that --force writes it all the same.
func TestCorrectRefuses(t *testing.T) {
	at, work := office(t)
	correction(t, "o3", at, "--adjust=5", "--payment=cash-1", "--reason=cash", "--id=c-9")
	correction(t, "o3", at, "--void=cash-1", "--reason=not paid")
	work()
	for _, c := range []struct{ args, want string }{
		{"o1 --void p9", "order o1 has no payment p9 (hint: it has p1 of EUR 90; --force"},
		{"o9 --void p1", "order o9 has no payment p1 (hint: it has none so far; "},
		{"o3 --void cash-1", "payment cash-1 was taken back already, at corrections/"},
		{"o1 --payment p1 --amount 90", "payment p1 is of EUR 90 already"},
		{"o9 --adjust 5 --currency EUR", "nothing says that order o9 was placed"},
		{"o2 --adjust 5", "order o2 is confirmed: what is booked for it now has to go back"},
		{"o2 --payment p2 --amount 5", "order o2 is confirmed"},
		{"o3 --adjust 5 --currency USD", "order o3 is in EUR: USD 5 does not count for it"},
		{"o1 --adjust 810 --payment p1", "order o1 has a payment p1 already, at payments/"},
		{"o3 --adjust 6 --payment cash-1", "order o3 has a payment cash-1 already"},
		{"o3 --adjust 6 --payment cash-2 --id c-9", "id c-9 is that of another correction, at correc"},
	} {
		args := append([]string{"correct", at, "--reason=r", "--by=ann"}, strings.Fields(c.args)...)
		if _, said := tally(t, ExitError, args...); !strings.Contains(said, c.want) {
			t.Errorf("%s: %s", c.args, said)
		}
	}
	for _, args := range []string{
		"o9 --adjust 5", "o1 --adjust -5", "o1 --adjust 5 --currency euro", "o1 --adjust 5 --id e\n",
	} {
		tally(t, ExitUsage, append([]string{"correct", at, "--reason=r", "--by=ann"},
			strings.Split(args, " ")...)...)
	}
	out, _ := tally(t, ExitOK, "audit", at, "-o", "json")
	if r := report(t, out); r.Audit != audit.OK || r.Adjusted != 1 || r.Voided != 1 {
		t.Errorf("something was written: %+v", r)
	}
	correction(t, "o2", at, "--adjust=5", "--reason=r", "--force")
	work()
	out, _ = tally(t, ExitOK, "audit", at, "-o", "json")
	if r := report(t, out); r.Audit != audit.OK || r.Excess != 1 {
		t.Errorf("it was not forced: %+v", r)
	}
}

// TestCorrectionsAreUntimed pins that orders don't wait for corrections to expire.
func TestCorrectionsAreUntimed(t *testing.T) {
	for _, chain := range []bool{false, true} {
		s, c := &settings{Prefix: "eu.", Chain: chain}, engine.Config{}
		confirmProcessor().engine(s.wiring(), &c)
		if !slices.Equal(c.Untimed, []string{"eu.corrections"}) {
			t.Errorf("chain %t: without a part in stream time are %q", chain, c.Untimed)
		}
	}
}

// TestCorrectAsks holds that the reason is asked for where somebody can be asked.
func TestCorrectAsks(t *testing.T) {
	at, _ := office(t)
	for _, c := range []struct {
		answer string
		want   int
	}{{"a digit was lost\n", ExitOK}, {"cut off", ExitOK}, {"  \n", ExitUsage}, {"", ExitUsage}} {
		m := newCommand()
		m.Answers = strings.NewReader(c.answer)
		args := []string{"correct", "o1", at, "--void=p1", "--by=ann", "--dry-run", "-o", "json"}
		got := m.Run(t.Context(), args)
		if got != c.want || !strings.HasPrefix(m.err.String(), "reason: ") {
			t.Errorf("%q: exit %d, want %d\n%s", c.answer, got, c.want, &m.err)
		}
		if reason := strings.TrimSpace(c.answer); got == ExitOK &&
			!strings.Contains(m.out.String(), `"reason":"`+reason+`"`) {
			t.Errorf("%q: %s", c.answer, &m.out)
		}
	}
}
