package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tallystick/test/kafkatest"
)

// inspectPage is the page whose commands are run. TALLY_TEST_REWRITE=inspect puts
// what they print into it, as it is then: a plain run afterwards tells whether that
// was too early.
const inspectPage = "../../docs/inspect.md"

// TestInspect sets up what docs/inspect.md looks at, then runs every command that
// the page shows, in its order, and holds what it prints against the page.
func TestInspect(t *testing.T) {
	eachWithKcat(t, func(t *testing.T, s *stage) {
		if _, err := exec.LookPath("protoc"); err != nil {
			if os.Getenv("KAFKA_TESTS") == "required" {
				t.Fatalf("protoc is required: %v", err)
			}
			t.Skipf("needs protoc, in Debian the package protobuf-compiler: %v", err)
		}
		text, err := os.ReadFile(inspectPage)
		if err != nil {
			t.Fatal(err)
		}
		p := &page{stage: s.unnamed(), text: string(text)}
		p.setUp()
		p.text = console.ReplaceAllStringFunc(p.text, p.block)
		if os.Getenv("TALLY_TEST_REWRITE") == "inspect" {
			if err := os.WriteFile(inspectPage, []byte(p.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if p.ran < 20 {
			t.Errorf("the page has %d commands", p.ran)
		}
	}, kafkatest.Own())
}

// unnamed is the same stage with the topics' own names, on a broker of its own.
func (s *stage) unnamed() *stage {
	n := *s
	n.prefix, n.app = "", "tally"
	return &n
}

// A page is a document while its commands are run.
type page struct {
	*stage
	text   string
	worker string // its address
	config string // of kcat
	ran    int
}

var (
	console = regexp.MustCompile("(?ms)^```console\n.*?^```")
	// instant is a number that is a time of these years in seconds, milliseconds or
	// microseconds, or what is below a second, which differs from run to run.
	instant = regexp.MustCompile(`\b1[789]\d{8}(\d{3})?(\d{3})?\b|nanos: \d+`)
	// letter is a place among the dead letters, where groups take turns.
	letter = regexp.MustCompile(`tally-dead-letters/\d+/\d+`)
	// day is a time of the day on which the page was written, or today.
	day = regexp.MustCompile(`\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`)
)

// fence returns the first block of the page in that language.
func (p *page) fence(language string) string {
	p.t.Helper()
	_, rest, ok := strings.Cut(p.text, "\n```"+language+"\n")
	block, _, closed := strings.Cut(rest, "\n```\n")
	if !ok || !closed {
		p.t.Fatalf("the page has no block of %s", language)
	}
	return block
}

// setUp does what the page says is to be done first, and waits for the result.
func (p *page) setUp() {
	p.t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
		_, _ = io.Copy(io.Discard, in.Body)
	}))
	p.t.Cleanup(receiver.Close)
	p.stage.tally("topics", "apply", "--chain", "--partitions", "4").ok(p.t)
	// kcat waits for half a second at the end of each partition unless it is told.
	p.config = p.file("kcat.conf", "fetch.wait.max.ms=10\n")
	known, orders, ok := strings.Cut(p.fence("json")+"\n", `{"meta":{"id":"ask-1"`)
	if !ok {
		p.t.Fatal("the page has no first order")
	}
	load := func(name, lines string) {
		p.stage.tally("load", "--chain", "--format", "json", p.file(name, lines)).ok(p.t)
	}
	load("known.jsonl", known)
	w := p.spawn("inspect", p.t.TempDir(), "--chain", "--format", "json", "--webhook", receiver.URL,
		"--order-within=0", "--keep-settled=0", "--keep-digest=0")
	p.until("the worker says its address", func() bool { return len(w.log.entries("http")) > 0 })
	p.worker = w.log.entries("http")[0].Address
	// The journal shows what was in one transaction: the stock that was counted alone,
	// however late its processor begins.
	p.until("the stock is counted", func() bool {
		return p.records("tally-inventory-stock-table") == 2
	})
	load("shop.jsonl", `{"meta":{"id":"ask-1"`+orders)
	p.until("all is settled", func() bool {
		return p.records("notices") == 1 && p.records("exceptions") == 2
	})
}

// file writes a file of the test's own and returns its path.
func (p *page) file(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// records is how many records a topic has that are not markers.
func (p *page) records(topic string) int {
	out := p.kcat("", "-C", "-e", "-t", topic, "-o", "beginning", "-f", "%k\n",
		"-X", "isolation.level=read_committed")
	return strings.Count(out, "\n")
}

// block runs the commands of a block, and returns it with what they print.
func (p *page) block(block string) string {
	lines := strings.SplitAfter(block, "\n")
	var out strings.Builder
	for i := 0; i < len(lines); {
		if !strings.HasPrefix(lines[i], "$ ") {
			out.WriteString(lines[i])
			i++
			continue
		}
		end := i + 1
		for end < len(lines) && strings.HasPrefix(lines[end], "> ") {
			end++
		}
		next := end
		for !strings.HasPrefix(lines[next], "$ ") && !strings.HasPrefix(lines[next], "```") {
			next++
		}
		command := strings.Join(lines[i:end], "")
		out.WriteString(command)
		out.WriteString(p.run(command, strings.Join(lines[end:next], "")))
		i = next
	}
	return out.String()
}

// run runs a command until it prints what the page says, as readers see rows a
// moment after their causes. One that changes something is run once.
func (p *page) run(command, want string) string {
	p.t.Helper()
	p.ran++
	line := strings.NewReplacer("\n> ", "\n").Replace(strings.TrimPrefix(command, "$ "))
	if strings.HasPrefix(line, "kafka-console-consumer.sh") && !p.consumer() {
		p.t.Logf("Kafka's console consumer is not here: %s", line)
		return want
	}
	once := slices.ContainsFunc([]string{"put ", "tally dead-letters"}, func(verb string) bool {
		return strings.Contains(line, verb)
	})
	got, err := p.shell(line)
	patient := time.Now().Add(time.Minute)
	rewrite := os.Getenv("TALLY_TEST_REWRITE") != ""
	for (rewrite && got == "" || !rewrite && stable(got) != stable(want)) && !once &&
		time.Now().Before(patient) {
		time.Sleep(10 * pause)
		got, err = p.shell(line)
	}
	if err != nil {
		p.t.Errorf("%s: %v", line, err)
	}
	if stable(got) != stable(want) {
		p.t.Errorf("%s\nprints\n%s\nthe page says\n%s", line, got, want)
		return got
	}
	return want
}

// stable is what a command prints without what differs from run to run.
func stable(text string) string {
	for _, varies := range []*regexp.Regexp{instant, letter, day} {
		text = varies.ReplaceAllString(text, "…")
	}
	return text
}

// shell runs a command with the functions of the page, in the root of the tree.
func (p *page) shell(line string) (string, error) {
	p.t.Helper()
	path, err := binary()
	if err != nil {
		p.t.Fatal(err)
	}
	script := strings.NewReplacer("localhost:9092", strings.Join(p.broker.Addrs(), ","),
		"localhost:8070", p.worker).Replace(p.fence("bash") + "\n" + line)
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	var complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script)
	cmd.Dir, cmd.Stderr = "../..", &complaints
	cmd.Env = append(os.Environ(), "KCAT_CONFIG="+p.config,
		"PATH="+filepath.Dir(path)+":"+p.tools()+":"+os.Getenv("PATH"))
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, &complaints)
	}
	return strings.NewReplacer(p.worker, "localhost:8070",
		strings.Join(p.broker.Addrs(), ","), "localhost:9092").Replace(string(out)), err
}

// consumer tells whether Kafka's console consumer is to be had.
func (p *page) consumer() bool {
	_, err := exec.LookPath("kafka-console-consumer.sh")
	return err == nil || p.tools() != ""
}

// tools is a directory with Kafka's console consumer, made from the jars of
// KAFKA_CLASSPATH if Kafka's tools are among them.
func (p *page) tools() string {
	jars := os.Getenv("KAFKA_CLASSPATH")
	i := slices.IndexFunc(filepath.SplitList(jars), func(entry string) bool {
		in := strings.TrimSuffix(entry, "*")
		found, err := filepath.Glob(filepath.Join(in, "kafka-tools-[0-9]*.jar"))
		return err == nil && len(found) > 0
	})
	if i < 0 {
		return ""
	}
	dir := filepath.Join(binaryDir, "kafka")
	script := "#!/bin/sh\nexec java -cp '" + jars +
		"' org.apache.kafka.tools.consumer.ConsoleConsumer \"$@\" 2>/dev/null\n"
	if err := os.MkdirAll(dir, 0o750); err != nil {
		p.t.Fatal(err)
	}
	name := filepath.Join(dir, "kafka-console-consumer.sh")
	if err := os.WriteFile(name, []byte(script), 0o700); err != nil {
		p.t.Fatal(err)
	}
	return dir
}
