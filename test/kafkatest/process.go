package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// classpath returns the jars of KAFKA_CLASSPATH; a bare folder means all in it.
func classpath() string {
	path := os.Getenv("KAFKA_CLASSPATH")
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "*")
	}
	return path
}

// probeJava says why a broker cannot be run from jars, or nothing if it can.
func probeJava() string {
	if classpath() == "" {
		return "KAFKA_CLASSPATH names no jars"
	}
	if _, err := exec.LookPath("java"); err != nil {
		return err.Error()
	}
	return ""
}

// A jvm is a node run as a child process.
type jvm struct {
	dir     string
	flags   []string
	address string
	release func()

	process *os.Process
	ended   chan struct{} // closed when the process has ended, after err is set
	err     error
}

func newProcess(c config, advertised string) (*jvm, error) {
	dir, err := os.MkdirTemp("", "kafkatest-process-")
	if err != nil {
		return nil, err
	}
	j := &jvm{dir: dir, flags: jvmFlags(c), release: afterDeath("rm", "-rf", dir)}
	if err := j.format(c, advertised); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

// format writes the node's settings and prepares its data folder.
func (j *jvm) format(c config, advertised string) error {
	l := listeners{clients: advertised, advertised: advertised}
	ports := []*string{&l.internal, &l.controller}
	if !c.direct {
		ports = append(ports, &l.clients)
	}
	for _, p := range ports {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		*p = addr
	}
	j.address = l.clients
	s := settings(c, l)
	s["log.dirs"] = filepath.Join(j.dir, "data")
	if err := os.WriteFile(j.file("server.properties"), []byte(properties(s)), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	tool := exec.CommandContext(ctx, "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-cp", classpath(), "kafka.tools.StorageTool", "format",
		"--cluster-id", newClusterID(), "--config", j.file("server.properties"))
	if out, err := tool.CombinedOutput(); err != nil {
		return fmt.Errorf("format: %w\n%s", err, tail(out))
	}
	return nil
}

func (j *jvm) file(name string) string { return filepath.Join(j.dir, name) }

func (j *jvm) start(context.Context) (string, error) {
	out, err := os.OpenFile(j.file("broker.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	args := append(j.flags, "-cp", classpath(), "kafka.Kafka", j.file("server.properties"))
	cmd := exec.Command("java", args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, dieWithParent()
	ended, started := make(chan struct{}), make(chan error)
	go func() {
		// The kernel watches the thread that started the child, so this
		// goroutine keeps its thread for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := errors.Join(cmd.Start(), out.Close())
		started <- err
		if err != nil {
			return
		}
		if j.err = cmd.Wait(); j.err == nil {
			j.err = errors.New("exit code 0")
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		return "", err
	}
	j.process, j.ended = cmd.Process, ended
	return j.address, nil
}

func (j *jvm) stop(ctx context.Context, kill bool) error {
	signal := os.Signal(syscall.SIGTERM)
	if kill {
		signal = os.Kill
	}
	if err := j.process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	grace := time.NewTimer(30 * time.Second)
	defer grace.Stop()
	select {
	case <-j.ended:
		return nil
	case <-grace.C:
	case <-ctx.Done():
	}
	err := j.process.Kill()
	<-j.ended
	return errors.Join(errors.New("the broker did not end in time"), err)
}

func (j *jvm) dead() error {
	select {
	case <-j.ended:
		return j.err
	default:
		return nil
	}
}

func (j *jvm) log() string {
	text, err := os.ReadFile(j.file("broker.log"))
	if err != nil {
		return err.Error()
	}
	return tail(text)
}

func (j *jvm) close() error {
	var err error
	if j.process != nil {
		err = j.stop(context.Background(), true)
	}
	if err := errors.Join(err, os.RemoveAll(j.dir)); err != nil {
		return err
	}
	j.release()
	return nil
}

func (j *jvm) what() string {
	return "a process of " + filepath.Dir(strings.Split(classpath(), ":")[0])
}

// tail returns the last lines of a log.
func tail(text []byte) string {
	const most = 4000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return string(text)
}
