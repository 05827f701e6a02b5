package app

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"tallystick/topology"
)

// shape is how the topics of a new cluster are made.
type shape struct {
	Partitions  int32
	Replication int16
}

func (sh *shape) register(cmd *cobra.Command, partitions int32) {
	f := cmd.PersistentFlags()
	f.Int32Var(&sh.Partitions, "partitions", partitions, "partitions of each topic that is created")
	f.Int16Var(&sh.Replication, "replication", 0,
		"copies of each partition (default: what the brokers have as theirs)")
}

func (sh *shape) validate() error {
	if sh.Partitions < 1 || sh.Partitions > 10_000 {
		return usageError("a few per worker are enough",
			"--partitions must lie between 1 and 10000, not %d", sh.Partitions)
	}
	if sh.Replication < 0 {
		return usageError("leave it out for the brokers' own",
			"--replication must not be below zero, it is %d", sh.Replication)
	}
	return nil
}

// names are the topics and groups that the settings lead to.
func (s *settings) names() topology.Names {
	return topology.Options{Prefix: s.Prefix, App: s.App, Chain: s.Chain}.Names()
}

// wiring is what the settings of all verbs say about graphs.
func (s *settings) wiring() wiring {
	return wiring{names: s.names(), chain: s.Chain, topology: s.topology(shape{})}
}

// topology is the map under the settings.
func (s *settings) topology(sh shape) topology.Topology {
	return topology.Default(topology.Options{
		Prefix: s.Prefix, App: s.App, Partitions: sh.Partitions, Replication: sh.Replication,
		Chain: s.Chain,
	})
}

func (m *Main) topicsCommand(s *settings) *cobra.Command {
	sh := &shape{}
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Compare the cluster's topics with what tally needs, and create what lacks",
		Long: paragraph(`
			Topics are only ever created. What stands otherwise than it should is named and
			left alone: no topic is deleted, changed or repartitioned.`),
		Example: examples(`
			tally topics plan
			tally topics apply --partitions 12 --replication 3
			tally topics check`),
		GroupID: groupWork,
	}
	sh.register(cmd, topology.DefaultPartitions)
	needVerb(cmd)
	cmd.AddCommand(
		m.topicsVerb(s, sh, "plan", "Show what the cluster lacks and where it differs", m.planTopics),
		m.topicsVerb(s, sh, "apply", "Create what lacks", m.applyTopics),
		m.topicsVerb(s, sh, "check", "Exit 1 unless workers can run on the topics", m.checkTopics))
	return cmd
}

type topicsRun func(ctx context.Context, s *settings, adm *kadm.Client, plan topology.Plan) error

// topicsVerb is one of the verbs, which all begin with a plan.
func (m *Main) topicsVerb(
	s *settings, sh *shape, name, short string, run topicsRun,
) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Example: examples(fmt.Sprintf(`
			tally topics %[1]s
			tally topics %[1]s --brokers kafka-1:9092,kafka-2:9092 -o json`, name)),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := sh.validate(); err != nil {
				return err
			}
			cl, err := m.connect(cmd.Context(), s)
			if err != nil {
				return err
			}
			defer cl.Close()
			adm := kadm.NewClient(cl)
			plan, err := s.topology(*sh).Plan(cmd.Context(), adm)
			if err != nil {
				return err
			}
			if err := run(cmd.Context(), s, adm, plan); err != nil || name != "check" {
				return err
			}
			return topology.CheckKeys(cmd.Context(), cl, s.topology(*sh))
		},
	}
}

// topicsResult is what the verbs print as JSON.
type topicsResult struct {
	Ready     bool                  `json:"ready"`
	Created   []string              `json:"created"`
	Missing   []string              `json:"missing"`
	Differing []topology.Difference `json:"differing"`
	Fine      []string              `json:"fine"`
}

func resultOf(plan topology.Plan) topicsResult {
	r := topicsResult{
		Ready: plan.Ready(), Created: []string{}, Missing: []string{},
		Differing: []topology.Difference{}, Fine: []string{},
	}
	for _, t := range plan.Missing {
		r.Missing = append(r.Missing, t.Name)
	}
	r.Differing = append(r.Differing, plan.Differing...)
	r.Fine = append(r.Fine, plan.Fine...)
	return r
}

func (m *Main) planTopics(
	_ context.Context, s *settings, _ *kadm.Client, plan topology.Plan,
) error {
	return m.show(s, resultOf(plan), func(w io.Writer) error {
		_, err := io.WriteString(w, plan.String())
		return err
	})
}

// checkTopics ends with an error that names every problem, its first hint being
// the hint.
func (m *Main) checkTopics(
	ctx context.Context, s *settings, adm *kadm.Client, plan topology.Plan,
) error {
	if err := m.planTopics(ctx, s, adm, plan); err != nil {
		return err
	}
	return unready(plan)
}

func (m *Main) applyTopics(
	ctx context.Context, s *settings, adm *kadm.Client, plan topology.Plan,
) error {
	created, err := plan.Apply(ctx, adm)
	if err != nil {
		return err
	}
	result := resultOf(plan)
	result.Created = append(result.Created, created...)
	result.Missing = []string{}
	plan.Missing = nil
	result.Ready = plan.Ready()
	err = m.show(s, result, func(w io.Writer) error {
		if len(created) == 0 {
			fmt.Fprintln(w, "nothing to create")
		} else {
			fmt.Fprintln(w, "created "+strings.Join(created, ", "))
		}
		if len(plan.Differing) > 0 {
			fmt.Fprint(w, plan.String())
		}
		return nil
	})
	if err != nil {
		return err
	}
	return unready(plan)
}

// unready is nil if workers can run on the topics as they are.
func unready(plan topology.Plan) error {
	if len(plan.Missing) == 0 {
		return plan.Err()
	}
	names := make([]string, len(plan.Missing))
	for i, topic := range plan.Missing {
		names[i] = topic.Name
	}
	return hinted("tally topics apply creates them", "the cluster lacks the topics %s",
		strings.Join(names, ", "))
}
