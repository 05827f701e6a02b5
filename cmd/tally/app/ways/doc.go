// Package ways does the main job in each of the three ways, on the same records
// and through the same mishaps, and counts what each of them loses, doubles, asks
// and takes. The ways differ in their processor alone: the engine, the broker and
// the loader are the same.
package ways
