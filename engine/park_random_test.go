package engine_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallystick/engine"
)

// TestParkingEqualsTheSequence sends records of which some can't be processed,
// while somebody mends, drops and retries, more often than needed and in no good
// order, and while workers crash, lose their disks and their answers. In the end
// each key's row is the list of its records in the order in which they were sent,
// the mended ones in their places: what a single worker without any fault would
// have made of it had every record been good.
func TestParkingEqualsTheSequence(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			newScene(t, seed).play(100)
		})
	}
}

// A scene is one run of the test.
type scene struct {
	*world
	rng    *rand.Rand
	fs     *vfs.MemFS
	wk     *worker
	want   map[string]string
	number int
}

func newScene(t *testing.T, seed uint64) *scene {
	s := &scene{
		world: newWorld(t), rng: rand.New(rand.NewPCG(seed, 3)), fs: vfs.NewCrashableMem(),
		want: map[string]string{},
	}
	var mu sync.Mutex
	faults := rand.New(rand.NewPCG(seed, 4))
	s.cluster.ControlKey(keyEndTxn, func(kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if faults.IntN(15) == 0 {
			return nil, errors.New("dropped"), true
		}
		return nil, nil, false
	})
	return s
}

// stumble panics at values that say so; what they are mended to does not.
func stumble(ctx goka.Context, msg any) {
	value, _ := msg.(string)
	if strings.HasPrefix(value, "panic") {
		ctx.SetValue("half done")
		panic("on purpose")
	}
	row, _ := ctx.Value().(string)
	ctx.SetValue(row + "," + value)
	ctx.Emit(joinedTopic, ctx.Key(), value)
}

func (s *scene) play(steps int) {
	s.wk = s.start(s.fs, stumble, parking)
	for range steps {
		switch s.rng.IntN(10) {
		case 0:
			s.crash()
		case 1, 2, 3:
			s.operate()
		default:
			s.produce()
		}
	}
	s.eventually("all is resolved", func() bool {
		s.operate()
		return maps.Equal(s.rows(), s.want) && len(s.parkedRows()) == 0
	})
	said := map[string]string{}
	for _, r := range s.committed(joinedTopic) {
		said[string(r.Key)] += "," + string(r.Value)
	}
	if !maps.Equal(said, s.want) {
		s.t.Errorf("emitted %v, want %v", said, s.want)
	}
	s.eventually("the disk has it", func() bool { return maps.Equal(s.wk.local(), s.want) })
	s.wk.end()
}

// produce sends some records. Their values say what becomes of them.
func (s *scene) produce() {
	for range 1 + s.rng.IntN(8) {
		key := fmt.Sprintf("k%d", s.rng.IntN(4))
		s.number++
		good := fmt.Sprint("v", s.number)
		value := good
		switch s.rng.IntN(8) {
		case 0:
			value = "bad mend " + good
		case 1:
			value = "bad drop " + good
			good = ""
		case 2:
			if s.rng.IntN(4) == 0 { // they cost a new client each
				value = "panic mend " + good
			}
		}
		if good != "" {
			s.want[key] += "," + good
		}
		s.send(leftTopic, key+"="+value)
	}
}

// operate asks for all that waits, as an operator would, but not as carefully.
func (s *scene) operate() {
	rows, letters := s.parkedRows(), map[string]engine.Letter{}
	for _, r := range s.committed(testDead) {
		l, err := engine.ReadLetter(r)
		if err != nil {
			s.t.Fatal(err)
		}
		id := fmt.Sprintf("%s %s %d", l.Key, l.ParkedBy, l.Sequence)
		if was, ok := letters[id]; ok && was.Attempt == l.Attempt {
			s.t.Fatalf("%s attempt %d is there twice", id, l.Attempt)
		}
		letters[id] = l
	}
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		var all []engine.Letter
		for n := rows[key].First; n < rows[key].Next; n++ {
			l, ok := letters[fmt.Sprintf("%s %s %d", key, rows[key].By, n)]
			if !ok {
				s.t.Fatalf("%s waits under %d and has no dead letter", key, n)
			}
			all = append(all, l)
		}
		if s.rng.IntN(6) == 0 {
			all = append(all, all...)
		}
		if s.rng.IntN(6) == 0 {
			s.rng.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		}
		s.retry(all, func(r *engine.Retry) {
			bad, good, found := strings.Cut(string(r.Value), "mend ")
			switch {
			case strings.HasPrefix(bad, "bad drop"):
				r.Drop = true
			case found && s.rng.IntN(3) > 0:
				r.Value, r.Mended = []byte(good), true
			}
		})
	}
}

// crash goes on from the disk as it was before the worker's last transactions, or
// from an empty one.
func (s *scene) crash() {
	s.eventually("ready", func() bool { return s.wk.e.Stats().Ready })
	clone := s.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: s.rng})
	s.wk.end()
	s.fs = clone
	if s.rng.IntN(3) == 0 {
		s.fs = vfs.NewCrashableMem()
	}
	s.wk = s.start(s.fs, stumble, parking)
}
