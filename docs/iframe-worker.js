// Search runs in a worker, and a browser starts none from a file: there a hidden frame stands in for it. The theme would fetch
// such a stand-in from the network; that this file has "iframe-worker" in its name tells it that one is here.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inside = frame.contentWindow
      inside.IFrameWorker = true // by which the script knows that it is in a frame
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      const tag = inside.document.createElement("script")
      tag.src = script
      this.ready = new Promise(loaded => (tag.onload = loaded)).then(() => inside)
      inside.document.head.append(tag)
    }
    postMessage(data) {
      this.ready.then(inside => inside.dispatchEvent(new inside.MessageEvent("message", { data })))
    }
  }
}
