// The page's only script: pictures behind the cells of the confusion matrix. It makes elements and sets text, never HTML.

/** Runs in browsers, as it stands. */
export const SCRIPT = `
'use strict';
(() => {
  const source = document.getElementById('cells');
  const place = document.getElementById('behind');
  if (!source || !place) return;
  const { pictures, cells } = JSON.parse(source.textContent);
  const buttons = [...document.querySelectorAll('button[data-cell]')];
  if (buttons.length === 0) return;
  const element = (tag, content, name) => {
    const made = document.createElement(tag);
    if (typeof content === 'string') made.textContent = content;
    else made.append(...content);
    if (name) made.className = name;
    return made;
  };
  const figure = ({ picture, file, said }) => {
    const image = document.createElement('img');
    image.src = pictures[picture];
    image.alt = file;
    image.width = image.height = 96;
    const name = element('span', file.split('/').at(-1), 'file');
    name.title = file;
    return element('figure', [image, element('figcaption', [name, element('span', said, 'said')])]);
  };
  const choose = (button) => {
    const cell = cells[button.dataset.cell];
    for (const other of buttons) other.setAttribute('aria-pressed', String(other === button));
    if (!cell) return;
    place.replaceChildren(
      element('h3', cell.title),
      element('p', cell.about, 'about'),
      element('div', cell.pictures.map(figure), 'thumbs'),
    );
  };
  // One stop of the Tab key; arrows go to the next number in a direction.
  const hold = (button) => {
    for (const other of buttons) other.tabIndex = other === button ? 0 : -1;
  };
  const at = (button) => [button.closest('tr').rowIndex, button.closest('td').cellIndex];
  const next = (from, rows, columns) => {
    const [r, c] = at(from);
    let best;
    for (const button of buttons) {
      const [y, x] = at(button);
      const ahead = rows ? (y - r) * rows : (x - c) * columns;
      const aside = Math.abs(rows ? x - c : y - r);
      if (ahead <= 0 || (columns && aside > 0)) continue;
      const far = ahead + 2 * aside;
      if (!best || far < best.far) best = { button, far };
    }
    return best && best.button;
  };
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  for (const button of buttons) {
    button.addEventListener('click', () => { hold(button); choose(button); });
    button.addEventListener('keydown', (event) => {
      const move = moves[event.key];
      const to = move ? next(button, ...move) : event.key === 'Home' ? buttons[0] : event.key === 'End' ? buttons.at(-1) : undefined;
      if (!move && !to) return;
      event.preventDefault();
      if (to) { hold(to); to.focus(); }
    });
  }
  const wrong = buttons.filter((b) => b.closest('td').className === 'wrong');
  const first = (wrong.length > 0 ? wrong : buttons).reduce((a, b) => (Number(b.textContent) > Number(a.textContent) ? b : a));
  hold(first);
  choose(first);
})();
`;
