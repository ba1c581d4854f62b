// Before anything is painted: whether scripts run, somebody is signed in and voice control is on, so that nothing has to move later.
document.documentElement.classList.add("scripted");
document.documentElement.classList.toggle(
  "signed-in", sessionStorage.getItem("hearabouts-token") !== null || /[#&]token=/.test(location.hash),
);
document.documentElement.classList.toggle("speaks", sessionStorage.getItem("hearabouts-voice") !== null);
