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

// gather asks every partition of the table once, whichever worker has it. It
// reports whether there is a result; else it has answered. What a peer asks names
// its partitions and is answered for these alone, or not at all.
func (s *Server) gather(out http.ResponseWriter, in *http.Request, read reader) ([]part, bool) {
	room := s.gathering
	if hopped(in) {
		room = s.answering
	}
	select {
	case room <- struct{}{}:
		defer func() { <-room }()
	default:
		busy(in, http.StatusServiceUnavailable, "lists and sums").write(out)
		return nil, false
	}
	ctx, cancel := context.WithTimeout(in.Context(), gatherWithin)
	defer cancel()
	if hopped(in) {
		parts, err := s.these(ctx, in.URL.Query().Get("partitions"), read)
		if err != nil {
			out.Header().Set(hopHeader, hopElsewhere)
			failed(err).write(out)
			return nil, false
		}
		out.Header().Set(hopHeader, hopHere)
		answer(out, http.StatusOK, parts)
		return nil, false
	}
	parts, err := s.everywhere(ctx, in, read)
	if err != nil {
		problem{
			status: http.StatusServiceUnavailable, name: "owner", detail: err.Error(), retry: 1,
			hint: "not every partition has a worker that runs views and answers: ask again",
		}.write(out)
		return nil, false
	}
	return parts, true
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

// everywhere asks for all partitions until it has each of them.
func (s *Server) everywhere(ctx context.Context, in *http.Request, read reader) ([]part, error) {
	got := map[int32]part{}
	for {
		n := s.cfg.Views.Partitions()
		err := s.round(ctx, in, n, got, read)
		if n > 0 && len(got) == int(n) {
			return slices.Collect(maps.Values(got)), nil
		}
		if !rest(ctx, pause) {
			return nil, errors.Join(err, ctx.Err())
		}
		s.peers.forget()
	}
}

// round asks once for the partitions that are not in got yet.
func (s *Server) round(
	ctx context.Context, in *http.Request, n int32, got map[int32]part, read reader,
) error {
	var errs []error
	var away []int32
	for p := range n {
		if _, ok := got[p]; ok {
			continue
		}
		rows, ok := s.cfg.Views.Rows(p)
		if !ok {
			away = append(away, p)
			continue
		}
		one, err := give(ctx, p, rows, read)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got[p] = one
	}
	if len(away) > 0 || n == 0 {
		errs = append(errs, s.roundAway(ctx, in, away, got))
	}
	return errors.Join(errs...)
}

// roundAway asks the peers that have some partitions.
func (s *Server) roundAway(
	ctx context.Context, in *http.Request, away []int32, got map[int32]part,
) error {
	at, err := s.peers.look(ctx)
	if err != nil {
		return err
	}
	asked := map[string][]string{}
	for _, p := range away {
		if at[p] == "" || at[p] == s.cfg.Address {
			err = errElsewhere
			continue
		}
		asked[at[p]] = append(asked[at[p]], strconv.Itoa(int(p)))
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
			for _, one := range parts {
				if slices.Contains(names, strconv.Itoa(int(one.Partition))) {
					got[one.Partition] = one
				}
			}
			return err
		})
	}
	return errors.Join(err, g.Wait())
}

// maxAtOnce is how many peers are asked at the same time.
const maxAtOnce = 16
