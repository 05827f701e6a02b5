package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

// defaultImage is the public image of the Kafka that the project is tested with.
const defaultImage = "apache/kafka:4.3.1"

const clientPort = "9092/tcp"

// image returns the image that containers are made of.
func image() string {
	if name := os.Getenv("KAFKA_IMAGE"); name != "" {
		return name
	}
	return defaultImage
}

// probeDocker says why containers cannot be had, or nothing if they can. It
// prepares the environment of testcontainers, which is read but once.
func probeDocker() string {
	prepareTestcontainers()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return fmt.Sprintf("no Docker engine: %v", err)
	}
	defer func() { _ = docker.Close() }()
	if _, err := docker.Client.Ping(ctx, client.PingOptions{}); err != nil {
		return fmt.Sprintf("no Docker engine: %v", err)
	}
	if _, err := docker.ImageInspect(ctx, image()); err == nil {
		return ""
	}
	pull, err := docker.ImagePull(ctx, image(), client.ImagePullOptions{})
	if err == nil {
		err = errors.Join(pull.Wait(ctx), pull.Close())
	}
	if err != nil {
		return fmt.Sprintf("image %s is neither here nor to be pulled (KAFKA_IMAGE names another): %v",
			image(), err)
	}
	return ""
}

// prepareTestcontainers spares users two settings that plain `go test` would
// need on some machines.
func prepareTestcontainers() {
	// Ryuk, which removes what a dead test left, is an image to be pulled. With
	// Docker's client at hand a shell does the same.
	if _, err := exec.LookPath("docker"); err == nil {
		setDefault("TESTCONTAINERS_RYUK_DISABLED", "true")
	}
	// Inside a container published ports are sought at the default gateway.
	// That is wrong if the engine runs in here as well, seen by its bridge.
	_, inContainer := os.Stat("/.dockerenv")
	_, bridge := net.InterfaceByName("docker0")
	if inContainer == nil && bridge == nil && os.Getenv("DOCKER_HOST") == "" {
		setDefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
	}
}

func setDefault(name, value string) {
	if _, set := os.LookupEnv(name); !set {
		_ = os.Setenv(name, value) // fails on malformed names alone
	}
}

// A node in a container. Its data live in the container's own layer.
type box struct {
	advertised string
	direct     bool
	env        map[string]string

	c       *testcontainers.DockerContainer
	release func()
}

func newContainer(c config, advertised string) (*box, error) {
	s := settings(c, listeners{
		clients: ":9092", advertised: advertised,
		internal: "localhost:19092", controller: "localhost:9093",
	})
	env := environment(s)
	env["CLUSTER_ID"] = newClusterID()
	env["KAFKA_HEAP_OPTS"], env["KAFKA_JVM_PERFORMANCE_OPTS"] = jvmEnv(c)
	return &box{advertised: advertised, direct: c.direct, env: env}, nil
}

func (b *box) start(ctx context.Context) (string, error) {
	if b.c == nil {
		c, err := testcontainers.Run(ctx, image(),
			testcontainers.WithExposedPorts(clientPort),
			testcontainers.WithEnv(b.env),
			// By this a run of many test binaries finds what is its own.
			testcontainers.WithLabels(map[string]string{
				"tallystick.report": os.Getenv("TALLY_TEST_REPORT"),
			}),
			testcontainers.WithLogger(log.NewNoopLogger()),
			testcontainers.WithHostConfigModifier(b.bind))
		if err != nil {
			return "", errors.Join(err, testcontainers.TerminateContainer(c))
		}
		b.c = c
		b.release = afterDeath("docker", "rm", "-f", "-v", c.GetContainerID())
	} else if err := b.c.Start(ctx); err != nil {
		return "", err
	}
	// The engine gives another port at every start.
	return b.c.PortEndpoint(ctx, clientPort, "")
}

// bind publishes the advertised port itself if there is no proxy.
func (b *box) bind(host *container.HostConfig) {
	if !b.direct {
		return
	}
	to := netip.MustParseAddrPort(b.advertised)
	host.PortBindings = network.PortMap{network.MustParsePort(clientPort): {{
		HostIP: to.Addr(), HostPort: fmt.Sprint(to.Port()),
	}}}
}

func (b *box) stop(ctx context.Context, kill bool) error {
	grace := 30 * time.Second
	if kill {
		grace = 0
	}
	return b.c.Stop(ctx, &grace)
}

func (b *box) dead() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	state, err := b.c.State(ctx)
	if err != nil {
		return err
	}
	if !state.Running {
		return fmt.Errorf("exit code %d %s", state.ExitCode, state.Error)
	}
	return nil
}

func (b *box) log() string {
	if b.c == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := b.c.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return err.Error()
	}
	return tail(text)
}

func (b *box) close() error {
	if b.c == nil {
		return nil
	}
	if err := testcontainers.TerminateContainer(b.c, testcontainers.StopTimeout(0)); err != nil {
		return err
	}
	b.release()
	return nil
}

func (b *box) what() string { return "image " + image() }
