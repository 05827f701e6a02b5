package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A process that dies leaves its files as it wrote them. A machine that dies may not,
// whatever was asked of its disk: Pebble's manifest and logs can lose an end that was
// synced, and what is left can open without complaint and have rows of no one moment.
// So a file beside Pebble's says who vouches for the rest. It is either the boot of the
// machine under which the database was opened, for as long as the machine is up; or,
// after an orderly Close, a seal over the other files as they were then. Where neither
// holds, every table of the database is in doubt until [Table.Check] has held its rows
// against its fingerprint, also if that is many starts later.

// trustFile is its name. The file is replaced as a whole, synced, before what it tells
// of is done: it says that the database is open before Pebble may write, and that a
// table is out of doubt after what showed it is on disk.
const trustFile = "TRUST"

type trust struct {
	Boot   string   `json:"boot,omitempty"`   // of the machine; empty if it is not known
	Seal   string   `json:"seal,omitempty"`   // of the files; empty while the database is open
	Doubts []uint32 `json:"doubts,omitempty"` // ranges that have yet to be checked
}

// encode returns t in one line and, in another, a hash of it: a file that is torn
// vouches for nothing.
func (t trust) encode() ([]byte, error) {
	line, err := json.Marshal(t)
	return fmt.Appendf(line, "\n%x\n", sha256.Sum256(line)), err
}

func parseTrust(b []byte) (t trust, ok bool) {
	line, sum, _ := bytes.Cut(b, []byte("\n"))
	if string(sum) != fmt.Sprintf("%x\n", sha256.Sum256(line)) {
		return t, false
	}
	return t, json.Unmarshal(line, &t) == nil
}

// systemBoot returns the id that Linux gives each start of the machine, which its
// containers share; empty if the system does not tell.
func systemBoot() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// readTrust returns what is on record, and why that does not vouch for the database,
// if it does not. It is called before Pebble opens the files.
func (db *DB) readTrust() (t trust, doubt string, err error) {
	f, err := db.fs.Open(db.fs.PathJoin(db.dir, trustFile))
	if errors.Is(err, fs.ErrNotExist) {
		return t, "nothing tells how it was left", nil
	} else if err != nil {
		return t, "", err
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return t, "", err
	}
	t, ok := parseTrust(b)
	switch {
	case !ok:
		return trust{}, trustFile + " is torn", nil
	case t.Seal != "":
		now, err := seal(db.fs, db.dir)
		if err != nil || now == t.Seal {
			return t, "", err
		}
		return t, "its files are not those that its last worker left", nil
	case db.boot == "":
		return t, "it was not closed, and the machine does not tell whether it was down", nil
	case t.Boot != db.boot:
		return t, "it was not closed, and the machine was down since, or is another one", nil
	}
	return t, "", nil
}

// record records that the boot of the machine vouches for the database from here on.
// The caller holds db.mu, or is the only one.
func (db *DB) record() error {
	return trust{Boot: db.boot, Doubts: db.doubted()}.write(db.fs, db.dir)
}

// sealUp records that the files are as they are now, while Pebble is closed.
func (db *DB) sealUp() error {
	now, err := seal(db.fs, db.dir)
	if err != nil {
		return err
	}
	return trust{Seal: now, Doubts: db.doubted()}.write(db.fs, db.dir)
}

func (db *DB) doubted() []uint32 { return slices.Sorted(maps.Keys(db.doubts)) }

// write puts t in the place of what is on record in dir.
func (t trust) write(disk vfs.FS, dir string) error {
	b, err := t.encode()
	if err != nil {
		return err
	}
	path := disk.PathJoin(dir, trustFile)
	f, err := disk.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := disk.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(disk, dir)
}

// seal returns a hash over the names and sizes of all files, and over the content of
// those that are not tables, which have a checksum in each block. It is called while
// Pebble is closed.
func seal(disk vfs.FS, dir string) (string, error) {
	names, err := disk.List(dir)
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	h := sha256.New()
	for _, n := range names {
		if n == "LOCK" || strings.HasPrefix(n, trustFile) {
			continue
		}
		if err := sealFile(h, disk, dir, n); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func sealFile(h io.Writer, disk vfs.FS, dir, name string) error {
	path := disk.PathJoin(dir, name)
	info, err := disk.Stat(path)
	if err != nil || info.IsDir() { // lost+found, which only root may open
		return err
	}
	fmt.Fprintf(h, "%q %d\n", name, info.Size())
	if strings.HasSuffix(name, ".sst") {
		return nil
	}
	f, err := disk.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	_, err = io.Copy(h, f)
	return err
}

// heed takes over what is on record before Pebble may write anything, and returns why
// the database is in doubt, if it is.
func (db *DB) heed() (doubt string, err error) {
	if db.inMemory {
		return "", nil
	}
	t, doubt, err := db.readTrust()
	for _, n := range t.Doubts {
		db.doubts[n] = true
	}
	if err != nil || doubt != "" || t.Seal == "" || db.readOnly {
		return doubt, err
	}
	return "", db.record()
}

// doubt takes note that all tables that the database holds have to be checked. Until
// that is recorded, the record is one that does not vouch either.
func (db *DB) doubt(why string) error {
	for _, h := range db.held {
		db.doubts[h.number] = true
	}
	if len(db.held) > 0 {
		db.log.Warn("the machine may have crashed under this database: each table is held "+
			"against its fingerprint before it is used", "dir", db.dir, "why", why,
			"tables", len(db.held))
	}
	if db.readOnly {
		return nil
	}
	return db.record()
}

// vouch notes that t is out of doubt. What was written to put it there, its being set
// aside perhaps, is on disk first.
func (db *DB) vouch(t *Table) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := t.usable(); !errors.Is(err, ErrUnchecked) {
		return err
	}
	delete(db.doubts, t.number)
	if !db.readOnly {
		err := db.pebble.LogData(nil, pebble.Sync)
		if err == nil {
			err = db.record()
		}
		if err != nil {
			db.doubts[t.number] = true
			return err
		}
	}
	t.mu.Lock()
	t.barred = nil
	t.mu.Unlock()
	return nil
}
