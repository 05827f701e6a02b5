package page_test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"

	"tallystick/query/audit"
	"tallystick/topology"
)

// views are the addresses of all views, each with the heading that it shows.
func views(order string) map[string]string {
	return map[string]string{
		"#/": "The system now", "#/buffers": "What waits for its other half",
		"#/order/" + order: "The story of an order", "#/dead-letters": "Dead letters", "#/audit": "Audit",
	}
}

// order is one that the demo places.
const order = "o5-000001"

// TestPage drives each view of the page on one demo.
func TestPage(t *testing.T) {
	path := browser(t)
	d := show(t)
	b := open(t, path, d)
	for _, step := range []struct {
		name string
		test func(*testing.T, *tab)
	}{
		{"map", seesMap},
		{"buffers", seesBuffers},
		{"keyboard", usesKeyboard},
		{"story", seesStory},
		{"letters", seesLetters},
		{"audit", runsAudit},
		{"pause", pauses},
		{"motion", restsOnRequest},
		{"schemes", isLightAndDark},
		{"widths", fitsWidths},
		{"accessibility", isAccessible},
		{"tampered", showsDifferences},
	} {
		t.Run(step.name, func(t *testing.T) {
			step.test(t, b)
			b.quiet(t)
		})
	}
	t.Run("end", func(t *testing.T) {
		b.load(t, "#/")
		d.stop()
		<-d.ended
		b.sees(t, "the end of the worker is told",
			"document.querySelector('#announce').textContent.includes('lost')")
		b.sees(t, "the end of the worker is seen",
			"document.querySelector('#connection').dataset.state === 'lost'")
	})
}

// seesMap holds that every service is at work and nothing is unread, which is so when a
// demo has come to its end, and that the table has every partition.
func seesMap(t *testing.T, b *tab) {
	b.load(t, "#/")
	b.sees(t, "nothing is unread", "document.querySelector('#tile-lag').textContent === '0'")
	b.sees(t, "the audit of the demo", "document.querySelector('#tile-audit').textContent === 'ok'")
	m := topology.Default(topology.Options{Chain: true})
	lights := run[int](t, b, "document.querySelectorAll('#map .light.good').length")
	if lights != len(m.Services()) {
		t.Errorf("%d services are well, want %d", lights, len(m.Services()))
	}
	cells := b.texts(t, "#grid td.cell b")
	unread := func(cell string) bool { return cell != "0" }
	if len(cells) != 4*len(m.Processors) || slices.ContainsFunc(cells, unread) {
		t.Errorf("the partitions have unread %q", cells)
	}
	times := run[int](t, b, "document.querySelectorAll('#grid td.cell time[datetime]').length")
	if times != len(cells) {
		t.Errorf("%d of %d partitions have a time", times, len(cells))
	}
	if got := b.text(t, "#grid tr[data-processor=confirm] .workers"); got != "demo" {
		t.Errorf("confirm is run by %q", got)
	}
	b.shot(t, "map")
	run[any](t, b, `document.querySelector('#map g[data-service=confirm]').dispatchEvent(
		new PointerEvent('pointerover', {bubbles: true}))`)
	lit := b.texts(t, "#map g.topic.lit .name")
	for _, want := range []string{"orders", "payments-by-order", "confirmations", "exceptions"} {
		if !slices.Contains(lit, want) {
			t.Errorf("%s is not lit beside confirm: %v", want, lit)
		}
	}
	if slices.Contains(lit, "stock") {
		t.Errorf("stock is lit beside confirm: %v", lit)
	}
}

// seesBuffers holds that what waits is what the worker says, and as many as the audit
// counts.
func seesBuffers(t *testing.T, b *tab) {
	b.load(t, "#/buffers")
	var r audit.Report
	b.demo.tally(t, &r, "audit")
	var w struct {
		Orders, Payments struct {
			Count int64
			Money map[string]int64
		}
		Longest []struct{ Order string }
	}
	b.demo.get(t, "/live/buffers", &w)
	if w.Orders.Count != r.Pending || r.Pending == 0 {
		t.Errorf("%d orders wait, the audit counts %d", w.Orders.Count, r.Pending)
	}
	b.sees(t, "the orders that wait", fmt.Sprintf(
		"document.querySelector('#orders-count').textContent === '%d'", w.Orders.Count))
	b.sees(t, "the payments that wait", fmt.Sprintf(
		"document.querySelector('#payments-count').textContent === '%d'", w.Payments.Count))
	for currency, minor := range w.Orders.Money {
		got := b.text(t, "#orders-money tr[data-currency="+currency+"] td")
		if want := amount(minor, currency); got != want {
			t.Errorf("%s waits, want %s", got, want)
		}
	}
	rows := b.texts(t, "#longest th[scope=row]")
	if len(rows) != len(w.Longest) {
		t.Errorf("%d wait, the page shows %q", len(w.Longest), rows)
	}
	b.shot(t, "buffers")
}

// amount writes minor units as the page does.
func amount(minor int64, currency string) string {
	whole, rest := minor, ""
	if currency != "JPY" {
		whole, rest = minor/100, fmt.Sprintf(".%02d", minor%100)
	}
	text := fmt.Sprint(whole)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text + rest + " " + currency
}

// usesKeyboard finds an order by nothing but keys.
func usesKeyboard(t *testing.T, b *tab) {
	b.load(t, "#/")
	focused := func() string {
		return run[string](t, b, "document.activeElement.id || document.activeElement.textContent.trim()")
	}
	tabTo := func(want string) {
		t.Helper()
		for range 30 {
			b.do(t, chromedp.KeyEvent("\t"))
			if focused() == want {
				visible := run[bool](t, b, `getComputedStyle(document.activeElement).outlineStyle !== 'none'`)
				if !visible {
					t.Errorf("nobody sees that the focus is on %q", want)
				}
				return
			}
		}
		t.Fatalf("the key Tab does not lead to %q", want)
	}
	tabTo("Skip to the content")
	b.do(t, chromedp.KeyEvent("\r"))
	if got := focused(); !run[bool](t, b, "document.activeElement.id === 'main'") {
		t.Errorf("the link to the content leads to %q", got)
	}
	b.load(t, "#/")
	tabTo("Orders")
	b.do(t, chromedp.KeyEvent("\r"))
	b.sees(t, "the focus is on the view's heading", "document.activeElement.id === 'order-title'")
	tabTo("order")
	b.do(t, chromedp.KeyEvent(order), chromedp.KeyEvent("\r"))
	b.sees(t, "the story", "document.querySelectorAll('.timeline > li').length > 0")
	b.sees(t, "the story is announced",
		"document.querySelector('#announce').textContent.includes('"+order+"')")
	if got := run[string](t, b, "location.hash"); got != "#/order/"+order {
		t.Errorf("the address is %q", got)
	}
}

// seesStory holds that the timeline has all events that the worker tells, in their order,
// each with its causes.
func seesStory(t *testing.T, b *tab) {
	b.load(t, "#/order/"+order)
	b.sees(t, "the story", "document.querySelectorAll('.timeline > li').length > 0")
	var s struct {
		State  string
		Events []struct {
			Type, Topic       string
			Partition, Offset int64
			Because           []int
		}
	}
	b.demo.get(t, "/live/orders/"+order, &s)
	var shown struct {
		State  string
		Events []struct{ Type string }
	}
	b.demo.tally(t, &shown, "order", "show", order)
	type entry struct {
		Type, Place string
		Causes      int
	}
	got := run[[]entry](t, b, `[...document.querySelectorAll('.timeline > li')].map(li => ({
		Type: li.querySelector('h3').textContent, Place: li.querySelector('.where .id').textContent,
		Causes: li.querySelectorAll('.where a').length}))`)
	var want []entry
	for _, e := range s.Events {
		place := fmt.Sprintf("%s/%d@%d", e.Topic, e.Partition, e.Offset)
		want = append(want, entry{e.Type, place, len(e.Because)})
	}
	if !slices.Equal(got, want) {
		t.Errorf("the timeline has\n%v, want\n%v", got, want)
	}
	for _, e := range shown.Events {
		if !slices.ContainsFunc(got, func(g entry) bool { return g.Type == e.Type }) {
			t.Errorf("the timeline lacks %s, which tally order show has", e.Type)
		}
	}
	if state := b.text(t, ".story-head .state"); state != s.State || state != shown.State {
		t.Errorf("the page says %q, the worker %q, tally %q", state, s.State, shown.State)
	}
	if len(b.texts(t, ".timeline > li.command h3")) == 0 {
		t.Error("no command is shown as one")
	}
	b.shot(t, "order")
	run[any](t, b, `document.querySelector('.timeline .where a').click(), 1`)
	b.sees(t, "the cause has the focus", "document.activeElement.matches('.timeline > li.lit')")
}

type letters struct {
	Total   int64
	Classes map[string]int64
	Newest  []struct{ Place, Reason, Value string }
}

// seesLetters holds that the dead letters on the page are those of the topic.
func seesLetters(t *testing.T, b *tab) {
	b.load(t, "#/dead-letters")
	var l letters
	b.demo.get(t, "/live/dead-letters", &l)
	if l.Total == 0 {
		t.Fatal("the demo has no dead letters")
	}
	b.sees(t, "the dead letters", fmt.Sprintf(
		"document.querySelectorAll('.letters > li').length === %d", len(l.Newest)))
	for class, n := range l.Classes {
		got := b.text(t, ".bars li[data-name="+class+"] .number")
		if got != fmt.Sprint(n) {
			t.Errorf("%s of class %s, want %d", got, class, n)
		}
	}
	if got := b.text(t, "#tile-letters"); got != fmt.Sprint(l.Total) {
		t.Errorf("the map counts %s dead letters, want %d", got, l.Total)
	}
	for _, one := range l.Newest {
		shown := b.text(t, `.letters > li[data-place="`+one.Place+`"]`)
		if !strings.Contains(shown, one.Reason) || !strings.Contains(shown, one.Value) {
			t.Errorf("%s shows %q", one.Place, shown)
		}
	}
	run[any](t, b, "document.querySelector('.letters summary').click(), 1")
	b.sees(t, "the value", "document.querySelector('.letters pre').checkVisibility()")
	b.shot(t, "letters")
}

// runsAudit runs the audit from the page, and compares it with the command's.
func runsAudit(t *testing.T, b *tab) {
	b.load(t, "#/audit")
	b.sees(t, "the result of the demo's audit", "document.querySelector('#verdict')")
	was := b.text(t, "#verdict time")
	b.do(t, chromedp.Click(chromedp.CSS("#run-audit")))
	b.sees(t, "a new result", fmt.Sprintf(
		"document.querySelector('#verdict time')?.textContent > %q", was))
	var r audit.Report
	b.demo.tally(t, &r, "audit")
	if state := b.text(t, "#verdict .state"); !strings.HasPrefix(state, r.Audit) {
		t.Errorf("the page says %q, tally audit %q", state, r.Audit)
	}
	for name, want := range map[string]int64{
		"orders": r.Orders, "confirmed": r.Confirmed, "pending": r.Pending, "payments": r.Payments,
	} {
		if got := b.text(t, "#counts tr[data-count="+name+"] td"); got != fmt.Sprint(want) {
			t.Errorf("%s %s, want %d", got, name, want)
		}
	}
	for currency, m := range r.Money {
		got, money := b.text(t, "#money tr[data-currency="+currency+"] td"), amount(m.Received, currency)
		if want := strings.TrimSuffix(money, " "+currency); got != want { // its row names it
			t.Errorf("received %s, want %s", got, want)
		}
	}
	b.shot(t, "audit")
}

// showsDifferences holds that what somebody wrote into the results by hand is found by the
// audit, and named on the page.
func showsDifferences(t *testing.T, b *tab) {
	key := b.demo.double(t, "confirmations")
	b.load(t, "#/audit")
	b.sees(t, "the result from before", "document.querySelector('#verdict')")
	b.do(t, chromedp.Click(chromedp.CSS("#run-audit")))
	b.sees(t, "a difference", "document.querySelector('#verdict .state.bad')")
	if keys := b.texts(t, "#audit td.id"); !slices.Contains(keys, key) {
		t.Errorf("order %s is not among the differences: %q", key, keys)
	}
	if got := b.text(t, "#tile-audit"); got != "differences" {
		t.Errorf("the map says of the audit %q", got)
	}
	b.shot(t, "differences")
}

// pauses holds that what moves can be stopped.
func pauses(t *testing.T, b *tab) {
	b.load(t, "#/")
	b.do(t, chromedp.Click(chromedp.CSS("#pause")))
	b.sees(t, "it is paused", `document.querySelector('#connection').textContent === 'paused'
		&& document.querySelector('#pause').getAttribute('aria-pressed') === 'true'`)
	b.do(t, chromedp.Click(chromedp.CSS("#pause")))
	b.sees(t, "it goes on", "document.querySelector('#connection').textContent === 'live'")
}

// restsOnRequest holds that nothing is animated for those who do not want it.
func restsOnRequest(t *testing.T, b *tab) {
	const flows = `document.querySelector('.flow').classList.add('on', 'much'),
		getComputedStyle(document.querySelector('.flow')).animationName`
	b.load(t, "#/")
	if got := run[string](t, b, flows); got != "flow" {
		t.Errorf("the animation is %q", got)
	}
	b.prefers(t, "prefers-reduced-motion", "reduce")
	if got := run[string](t, b, flows); got != "none" {
		t.Errorf("the animation is %q for those who want none", got)
	}
	b.prefers(t)
}

// isLightAndDark holds that text can be read in both schemes: a contrast of 4.5 at
// least, of everything that says something.
func isLightAndDark(t *testing.T, b *tab) {
	grounds := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		b.prefers(t, "prefers-color-scheme", scheme)
		for hash := range views(order) {
			b.load(t, hash)
			b.settle(t, hash)
			for _, faint := range run[[]string](t, b, contrasts) {
				t.Errorf("%s, %s: %s", scheme, hash, faint)
			}
			b.shot(t, scheme+strings.NewReplacer("#", "-", "/", "-", order, "").Replace(hash))
		}
		grounds[scheme] = run[string](t, b, "getComputedStyle(document.body).backgroundColor")
	}
	if grounds["light"] == grounds["dark"] {
		t.Errorf("both schemes are on %s", grounds["light"])
	}
	b.prefers(t)
}

// settle waits until a view shows what it has to show.
func (b *tab) settle(t *testing.T, hash string) {
	t.Helper()
	b.sees(t, "the content of "+hash, map[string]string{
		"#/":               "document.querySelector('#tile-letters').textContent !== '–'",
		"#/buffers":        "document.querySelector('#longest table')",
		"#/order/" + order: "document.querySelector('.timeline > li')",
		"#/dead-letters":   "document.querySelector('.letters > li')",
		"#/audit":          "document.querySelector('#verdict')",
	}[hash])
}

// fitsWidths holds that no view has to be scrolled sideways as a whole, on a phone or a
// large screen.
func fitsWidths(t *testing.T, b *tab) {
	for _, width := range []int64{360, 768, 1600} {
		b.do(t, chromedp.EmulateViewport(width, 800))
		for hash := range views(order) {
			b.load(t, hash)
			b.settle(t, hash)
			if got := run[int64](t, b, "document.documentElement.scrollWidth"); got > width {
				t.Errorf("%s is %d wide at %d", hash, got, width)
			}
			if width == 360 {
				b.shot(t, "narrow"+strings.NewReplacer("#", "-", "/", "-", order, "").Replace(hash))
			}
		}
	}
	b.do(t, chromedp.EmulateViewport(1600, 1000))
}

// isAccessible looks at each view as the browser hands it to a screen reader.
func isAccessible(t *testing.T, b *tab) {
	for hash, heading := range views(order) {
		b.load(t, hash)
		b.settle(t, hash)
		run[any](t, b, "document.querySelectorAll('details').forEach(d => d.open = true), 1")
		all := accessibility.GetFullAXTreeParams{}
		tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, all)
		if err != nil {
			t.Fatal(err)
		}
		roles := map[string]int{}
		for _, n := range tree.Nodes {
			if n.Ignored {
				continue
			}
			role, name := value(n.Role), value(n.Name)
			roles[role]++
			switch role {
			case "button", "link", "searchbox", "textbox", "image", "img", "region", "table", "navigation",
				"search", "heading", "progressbar", "DisclosureTriangle":
				if name == "" {
					t.Errorf("%s: a %s has no name", hash, role)
				}
			}
		}
		for _, role := range []string{
			"banner", "navigation", "main", "contentinfo", "heading", "status",
		} {
			if roles[role] == 0 {
				t.Errorf("%s: there is no %s: %v", hash, role, roles)
			}
		}
		if got := b.text(t, "main section:not([hidden]) h1"); got != heading {
			t.Errorf("%s: the heading is %q", hash, got)
		}
		for _, wrong := range run[[]string](t, b, faults) {
			t.Errorf("%s: %s", hash, wrong)
		}
	}
}

func value(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	if json.Unmarshal(v.Value, &s) != nil {
		return ""
	}
	return s
}

// faults finds what the tree of the browser does not tell.
//
//go:embed faults.js
var faults string

// contrasts finds text that hardly stands out.
//
//go:embed contrasts.js
var contrasts string
