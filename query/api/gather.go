package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tallystick/topology/keyhash"
)

// gatherWithin is how long a list may take that is gathered from all workers.
const gatherWithin = 10 * time.Second

// partitionOf is the partition of an order among n.
func partitionOf(order string, n int32) int32 { return keyhash.Partition([]byte(order), n) }

// A part is what one partition gives to a list or a sum.
type part struct {
	Partition int32           `json:"partition"`
	Gives     json.RawMessage `json:"gives"`
}

// A reader reads from one partition what it gives.
type reader func(context.Context, Rows) (any, error)

// A whole is what the partitions give together.
type whole struct {
	parts []part
	// missing are the partitions whose part is not there, in order.
	missing []int32
}

// gather asks every partition of the table once, whichever worker has it, and leaves
// out those that do not answer in time. It reports whether there is a result; else it
// has answered. What a peer asks names its partitions and is answered for these alone,
// or not at all.
func (s *Server) gather(out http.ResponseWriter, in *http.Request, read reader) (whole, bool) {
	room := s.gathering
	if hopped(in) {
		room = s.answering
	}
	select {
	case room <- struct{}{}:
		defer func() { <-room }()
	default:
		busy(in, http.StatusServiceUnavailable, "lists and sums").write(out)
		return whole{}, false
	}
	ctx, cancel := context.WithTimeout(in.Context(), gatherWithin)
	defer cancel()
	if hopped(in) {
		parts, err := s.these(ctx, in.URL.Query().Get("partitions"), read)
		if err != nil {
			out.Header().Set(hopHeader, hopElsewhere)
			failed(err).write(out)
			return whole{}, false
		}
		out.Header().Set(hopHeader, hopHere)
		answer(out, http.StatusOK, parts)
		return whole{}, false
	}
	all, err := s.everywhere(ctx, in, read)
	if err != nil {
		problem{
			status: http.StatusServiceUnavailable, name: "owner", detail: err.Error(), retry: 1,
			hint: "no partition has a worker that runs views and answers: ask again",
		}.write(out)
		return whole{}, false
	}
	return all, true
}

// these reads the partitions that a peer names, each once. All must be here.
func (s *Server) these(ctx context.Context, names string, read reader) ([]part, error) {
	var parts []part
	for name := range strings.SplitSeq(names, ",") {
		p, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no partition", name)
		}
		if slices.ContainsFunc(parts, func(had part) bool { return had.Partition == int32(p) }) {
			continue
		}
		rows, ok := s.cfg.Views.Rows(int32(p))
		if !ok {
			return nil, errElsewhere
		}
		one, err := give(ctx, int32(p), rows, read)
		if err != nil {
			return nil, err
		}
		parts = append(parts, one)
	}
	return parts, nil
}

func give(ctx context.Context, p int32, rows Rows, read reader) (part, error) {
	gives, err := read(ctx, rows)
	if err != nil {
		return part{}, err
	}
	text, err := json.Marshal(gives)
	return part{p, text}, err
}

// everywhere asks for all partitions until it has each of them, or peers have had their
// time. Without any it fails.
func (s *Server) everywhere(ctx context.Context, in *http.Request, read reader) (whole, error) {
	got := map[int32]part{}
	n, err := s.here(ctx, got, read)
	patient, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	for n == 0 || len(got) < int(n) {
		quiet, errAway := s.roundAway(patient, in, n, got)
		if err = errors.Join(err, errAway); n > 0 && len(got) == int(n) {
			break
		}
		// Those who are known to be silent are not waited for.
		if n > 0 && len(quiet.before) == int(n)-len(got) {
			break
		}
		if !rest(patient, pause) {
			if in.Context().Err() == nil {
				s.hush(quiet.now)
			}
			break
		}
		s.peers.forget()
		n, err = s.here(ctx, got, read)
	}
	if len(got) == 0 {
		return whole{}, errors.Join(err, ctx.Err())
	}
	all := whole{parts: slices.Collect(maps.Values(got))}
	for p := range n {
		if _, ok := got[p]; !ok {
			all.missing = append(all.missing, p)
		}
	}
	if all.missing != nil {
		s.cfg.Log.Debug("partitions are left out", "partitions", all.missing, "error", err)
	}
	return all, nil
}

// hush remembers those who did not answer in time.
func (s *Server) hush(addresses []string) {
	for _, address := range addresses {
		s.cfg.Log.Warn("a peer does not answer, and is left out of lists for a while",
			"peer", address, "for", silentFor)
		s.peers.hush(address)
	}
}

// here reads the partitions of this worker that are not in got yet, and returns how many
// the table has.
func (s *Server) here(ctx context.Context, got map[int32]part, read reader) (int32, error) {
	var errs []error
	n := s.cfg.Views.Partitions()
	for p := range n {
		if _, ok := got[p]; ok {
			continue
		}
		rows, ok := s.cfg.Views.Rows(p)
		if !ok {
			continue
		}
		one, err := give(ctx, p, rows, read)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got[p] = one
	}
	if n == 0 {
		errs = append(errs, errors.New("this worker has not joined its group yet"))
	}
	return n, errors.Join(errs...)
}

// silent is who does not answer in a round.
type silent struct {
	now    []string // addresses of those who were asked
	before []int32  // partitions of those who were not, because they did not a moment ago
}

// roundAway asks the peers once for the partitions of n that are not in got yet.
func (s *Server) roundAway(
	ctx context.Context, in *http.Request, n int32, got map[int32]part,
) (quiet silent, err error) {
	at, err := s.peers.look(ctx)
	if err != nil {
		return quiet, err
	}
	asked := map[string][]string{}
	for p := range n {
		if _, ok := got[p]; ok {
			continue
		}
		switch address := at[p]; {
		case address == "" || address == s.cfg.Address:
			err = errElsewhere
		case s.peers.hushed(address):
			quiet.before = append(quiet.before, p)
			err = fmt.Errorf("ask %s: it did not answer a moment ago", address)
		default:
			asked[address] = append(asked[address], strconv.Itoa(int(p)))
		}
	}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(maxAtOnce)
	for address, names := range asked {
		g.Go(func() error {
			query := in.URL.Query()
			query.Set("partitions", strings.Join(names, ","))
			var parts []part
			err := s.fetch(ctx, address, in.URL.EscapedPath(), query, &parts)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !errors.Is(err, errElsewhere) && !errors.Is(err, errRefused) {
				quiet.now = append(quiet.now, address)
			}
			for _, one := range parts {
				if slices.Contains(names, strconv.Itoa(int(one.Partition))) {
					got[one.Partition] = one
				}
			}
			return err
		})
	}
	return quiet, errors.Join(err, g.Wait())
}

// maxAtOnce is how many peers are asked at the same time.
const maxAtOnce = 16
