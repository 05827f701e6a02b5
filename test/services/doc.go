// Package services runs the graphs of services on the engine and a broker: those
// that keep no rows, those that look others' tables up, and those that read what
// they write. Workers die in the middle, with their disks, and others of their
// name go on.
package services
