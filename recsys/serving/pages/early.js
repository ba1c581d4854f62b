// Before anything is painted: whether scripts run and whether somebody is signed in, so that nothing has to move later.
document.documentElement.classList.add("scripted");
document.documentElement.classList.toggle(
  "signed-in", sessionStorage.getItem("hearabouts-token") !== null || /[#&]token=/.test(location.hash),
);
