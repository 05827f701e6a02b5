// Command tally joins orders and payments on Kafka, exactly once. The verbs
// are in package app; this file only connects them to the process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"tallystick/cmd/tally/app"
)

func main() {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup has its way
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(app.New(os.Stdout, os.Stderr).Run(ctx, os.Args[1:]))
}
