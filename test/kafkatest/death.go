package kafkatest

import (
	"io"
	"os/exec"
	"syscall"
)

// afterDeath runs a command when this process has ended, in whatever way: a
// shell reads a pipe whose other end closes with us. The returned function
// calls that off. Where there is no shell nothing happens.
func afterDeath(command ...string) (release func()) {
	// A killed broker needs a moment until it writes no more.
	script := `read -r done || { sleep 1; exec "$@"; }`
	shell := exec.Command("sh", append([]string{"-c", script, "sh"}, command...)...)
	// It is no part of the test's process group, or Ctrl-C would end it too.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := shell.StdinPipe()
	if err != nil {
		return func() {}
	}
	if err := shell.Start(); err != nil {
		return func() {}
	}
	return func() {
		_, _ = io.WriteString(pipe, "done\n")
		_ = pipe.Close()
		_ = shell.Wait()
	}
}
