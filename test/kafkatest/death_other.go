//go:build !linux

package kafkatest

import "syscall"

// dieWithParent can do nothing here: a test binary that is killed leaves its
// brokers behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
