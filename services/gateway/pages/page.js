const token = document.getElementById('token'), copy = document.getElementById('copy'), copied = document.getElementById('copied');
history.replaceState(null, '', location.pathname);
token.addEventListener('focus', () => token.select());
if (navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener('click', () => navigator.clipboard.writeText(token.value).then(() => { copied.textContent = 'Copied.'; }));
}
