package topology_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallystick/topology"
)

// cluster returns an empty cluster of three brokers and a client of it.
func cluster(t *testing.T) (*kfake.Cluster, *kadm.Client) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(c.ListenAddrs()...), kgo.MetadataMinAge(10*time.Millisecond),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return c, kadm.NewClient(client)
}

// TestPlan tells stories of clusters: what is there, what the plan says, what
// Apply does, what is there then.
func TestPlan(t *testing.T) {
	datadriven.Walk(t, "testdata/plan", func(t *testing.T, path string) {
		_, adm := cluster(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return planStory(t, adm, d)
		})
	})
}

func planStory(t *testing.T, adm *kadm.Client, d *datadriven.TestData) string {
	t.Helper()
	ctx := t.Context()
	partitions, replication := 4, -1
	d.MaybeScanArgs(t, "partitions", &partitions)
	d.MaybeScanArgs(t, "replication", &replication)
	m := topology.Default(topology.Options{
		Partitions: int32(partitions), Replication: int16(replication),
		Chain: d.HasArg("chain"),
	})
	switch d.Cmd {
	case "create":
		configs := map[string]*string{}
		for _, line := range strings.Fields(d.Input) {
			key, value, _ := strings.Cut(line, "=")
			configs[key] = kadm.StringPtr(value)
		}
		_, err := adm.CreateTopic(ctx, int32(partitions), int16(replication), configs, d.CmdArgs[0].Key)
		return said(err)
	case "plan":
		plan, err := m.Plan(ctx, adm)
		if err != nil {
			return said(err)
		}
		return fmt.Sprintf("%sready %v\n", plan, plan.Ready())
	case "why":
		plan, err := m.Plan(ctx, adm)
		if err != nil {
			return said(err)
		}
		return hinted(plan.Err())
	case "apply":
		plan, err := m.Plan(ctx, adm)
		if err != nil {
			return said(err)
		}
		created, err := plan.Apply(ctx, adm)
		return fmt.Sprintf("created %q\n%s", created, said(err))
	case "topics":
		return listed(t, adm)
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
		return ""
	}
}

func said(err error) string {
	if err == nil {
		return "ok\n"
	}
	return err.Error() + "\n"
}

// hinted prints each joined problem with its hint.
func hinted(err error) string {
	if err == nil {
		return "ok\n"
	}
	var b strings.Builder
	for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
		var problem *topology.Problem
		if errors.As(err, &problem) {
			fmt.Fprintf(&b, "%v\n  %s\n", problem, problem.Hint())
		}
	}
	return b.String()
}

// listed prints what the cluster really has.
func listed(t *testing.T, adm *kadm.Client) string {
	t.Helper()
	found, err := adm.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, topic := range found.Sorted() {
		configs, err := adm.DescribeTopicConfigs(t.Context(), topic.Topic)
		if err != nil {
			t.Fatal(err)
		}
		var set []string
		for _, c := range configs[0].Configs {
			if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
				set = append(set, c.Key+"="+c.MaybeValue())
			}
		}
		slices.Sort(set)
		fmt.Fprintf(&b, "%s %d/%d %s\n", topic.Topic, len(topic.Partitions),
			topic.Partitions.NumReplicas(), strings.Join(set, " "))
	}
	return b.String()
}

// TestPlanRefusesABrokenMap: a map with a mistake in it is not compared, let
// alone applied.
func TestPlanRefusesABrokenMap(t *testing.T) {
	_, adm := cluster(t)
	m := topology.Default(topology.Options{})
	m.Topics[1].Partitions = 6
	_, err := m.Plan(t.Context(), adm)
	if err == nil || !strings.Contains(err.Error(), "joins orders") {
		t.Errorf("Plan = %v, want the mistake", err)
	}
}

// TestPlanWithoutCluster: when no broker answers, the plan is an error.
func TestPlanWithoutCluster(t *testing.T) {
	c, adm := cluster(t)
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := topology.Default(topology.Options{}).Plan(ctx, adm)
	if err == nil || !strings.HasPrefix(err.Error(), "topology: list topics: ") {
		t.Errorf("Plan = %v, want an error of listing topics", err)
	}
}

// TestPlanWithoutRights: who may not see the settings of topics still gets a
// plan, which says what was not compared.
func TestPlanWithoutRights(t *testing.T) {
	c, adm := cluster(t)
	m := topology.Default(topology.Options{Partitions: 2})
	apply(t, m, adm)
	c.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		for _, r := range req.(*kmsg.DescribeConfigsRequest).Resources {
			resource := kmsg.NewDescribeConfigsResponseResource()
			resource.ResourceType, resource.ResourceName = r.ResourceType, r.ResourceName
			resource.ErrorCode = kerr.TopicAuthorizationFailed.Code
			resp.Resources = append(resp.Resources, resource)
		}
		return resp, nil, true
	})
	plan, err := m.Plan(t.Context(), adm)
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Ready() || len(plan.Differing) != len(m.Topics) {
		t.Errorf("plan, want one harmless difference for each topic:\n%s", plan)
	}
	if !strings.Contains(plan.String(), "no right to see them") {
		t.Errorf("plan does not say what it could not see:\n%s", plan)
	}
}

func apply(t *testing.T, m topology.Topology, adm *kadm.Client) {
	t.Helper()
	plan, err := m.Plan(t.Context(), adm)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Apply(t.Context(), adm); err != nil {
		t.Fatal(err)
	}
}

// TestApplyMeetsAnother: a topic that somebody creates between the plan and
// its application is left as it was made, and not claimed.
func TestApplyMeetsAnother(t *testing.T) {
	_, adm := cluster(t)
	m := topology.Default(topology.Options{Partitions: 2})
	plan, err := m.Plan(t.Context(), adm)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(t.Context(), 9, -1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	created, err := plan.Apply(t.Context(), adm)
	if err != nil || len(created) != len(m.Topics)-1 || slices.Contains(created, "orders") {
		t.Errorf("Apply = %q, %v, want all but orders", created, err)
	}
	if got := listed(t, adm); !strings.Contains(got, "orders 9/3 \n") {
		t.Errorf("orders was changed:\n%s", got)
	}
}

// TestApplyIsRefused names the topic, keeps the cause and gives a hint.
func TestApplyIsRefused(t *testing.T) {
	for _, cause := range []*kerr.Error{
		kerr.TopicAuthorizationFailed, kerr.InvalidReplicationFactor, kerr.PolicyViolation,
		kerr.InvalidConfig,
	} {
		t.Run(cause.Message, func(t *testing.T) {
			c, adm := cluster(t)
			plan, err := topology.Default(topology.Options{}).Plan(t.Context(), adm)
			if err != nil {
				t.Fatal(err)
			}
			c.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
				resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
				topic := kmsg.NewCreateTopicsResponseTopic()
				topic.Topic = req.(*kmsg.CreateTopicsRequest).Topics[0].Topic
				topic.ErrorCode = cause.Code
				resp.Topics = append(resp.Topics, topic)
				return resp, nil, true
			})
			created, err := plan.Apply(t.Context(), adm)
			var refused *topology.ApplyError
			if !errors.As(err, &refused) || !errors.Is(err, cause) || len(created) != 0 {
				t.Fatalf("Apply = %q, %v, want %v", created, err, cause)
			}
			if refused.Topic != "orders" || refused.Hint() == "" ||
				!strings.HasPrefix(err.Error(), "topology: create topic orders: ") {
				t.Errorf("%v for %s, hint %q", err, refused.Topic, refused.Hint())
			}
		})
	}
}

// TestApplyWaitsNoLongerThanAsked: leaders that never come end with the
// context.
func TestApplyWaitsNoLongerThanAsked(t *testing.T) {
	c, adm := cluster(t)
	plan, err := topology.Default(topology.Options{}).Plan(t.Context(), adm)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		topics := req.(*kmsg.MetadataRequest).Topics
		if len(topics) == 0 {
			return nil, nil, false
		}
		if asked++; asked > len(plan.Missing) {
			cancel()
		}
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		for _, addr := range c.ListenAddrs()[:1] {
			broker := kmsg.NewMetadataResponseBroker()
			host, port, _ := strings.Cut(addr, ":")
			broker.Host = host
			n, err := strconv.ParseInt(port, 10, 32)
			if err != nil {
				t.Errorf("address %s: %v", addr, err)
			}
			broker.Port = int32(n)
			resp.Brokers = append(resp.Brokers, broker)
		}
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = topics[0].Topic
		partition := kmsg.NewMetadataResponseTopicPartition()
		partition.Leader, partition.ErrorCode = -1, kerr.LeaderNotAvailable.Code
		topic.Partitions = append(topic.Partitions, partition)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	if _, err := plan.Apply(ctx, adm); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply = %v, want canceled", err)
	}
}

// TestJoinedElsewhere: two processors that share an input force one count on
// all that either joins.
func TestJoinedElsewhere(t *testing.T) {
	_, adm := cluster(t)
	m := topology.Default(topology.Options{Partitions: 8})
	extra := m.Topics[0]
	extra.Name, extra.Holds = "refunds", []topology.Kind{{"RefundMade", topology.Outside}}
	m.Topics = append(m.Topics, extra)
	m.Processors = append(m.Processors, topology.Processor{
		Name: "refund", Service: "refund", Group: "tally-refund",
		Inputs: []string{"orders", "refunds"},
	})
	if _, err := adm.CreateTopic(t.Context(), 5, -1, nil, "refunds"); err != nil {
		t.Fatal(err)
	}
	plan, err := m.Plan(t.Context(), adm)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range plan.Missing {
		want := int32(5)
		if topic.Name == "tally-dead-letters" {
			want = 8
		}
		if topic.Partitions != want {
			t.Errorf("%s would get %d partitions, want %d", topic.Name, topic.Partitions, want)
		}
	}
}
