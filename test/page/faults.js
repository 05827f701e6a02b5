// What the accessibility tree of the browser does not tell of the view that is shown.
(() => {
	const out = [];
	const seen = [...document.querySelectorAll('main section:not([hidden]) *')];
	for (const t of seen.filter(e => e.tagName === 'TABLE')) {
		if (!t.caption?.textContent.trim()) out.push('a table has no caption');
		for (const th of t.querySelectorAll('th')) if (!th.scope) out.push('a header has no scope: ' + th.textContent);
		if (!t.querySelector('thead th')) out.push('a table has no headers');
	}
	const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
	for (const id of new Set(ids)) if (ids.filter(i => i === id).length > 1) out.push('twice the id ' + id);
	if (document.querySelectorAll('main section:not([hidden]) h1').length !== 1) out.push('not one h1');
	let level = 0;
	for (const h of seen.filter(e => /^H[1-6]$/.test(e.tagName))) {
		if (Number(h.tagName[1]) > level + 1) out.push('a heading is left out before ' + h.textContent);
		level = Number(h.tagName[1]);
	}
	for (const e of seen) {
		for (const name of ['aria-labelledby', 'aria-describedby']) {
			for (const id of (e.getAttribute(name) ?? '').split(' ').filter(Boolean)) {
				if (!document.getElementById(id)) out.push(name + ' names nothing: ' + id);
			}
		}
		if (getComputedStyle(e).overflowX === 'auto' && e.scrollWidth > e.clientWidth && e.tabIndex < 0) {
			out.push('no key scrolls ' + e.className);
		}
	}
	if (!document.documentElement.lang) out.push('the language is not said');
	return out;
})()
