package kafkatest

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestAfterDeath kills a process that has asked for something to be done then,
// and one that has called it off.
func TestAfterDeath(t *testing.T) {
	if file := os.Getenv("KAFKATEST_DIES"); file != "" {
		afterDeath("touch", file)
		afterDeath("touch", file+"-off")()
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	file := filepath.Join(t.TempDir(), "done")
	self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAfterDeath$")
	self.Env = append(os.Environ(), "KAFKATEST_DIES="+file)
	if err := self.Run(); err == nil {
		t.Fatal("the child was not killed")
	}
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(file); err == nil {
			break
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("nothing was done after the child's death")
		}
	}
	if _, err := os.Stat(file + "-off"); err == nil {
		t.Error("what was called off was done")
	}
}
