"""Datasets and models on the Hugging Face Hub: out by `publish`, back by `pull`, asked in place by `remote`.

    hub = Hub("ann/sums", "dataset")
    with dataset_bundle(open_version("out/tiny"), None, hub.repo, "v1", "mit") as bundle:
        publish(bundle, hub, tag="v1", private=True)
    pull(parse("ann/sums@v1"), Path("copy"))

Importing it imports the Hub's client, so commands do that when they need it.
"""
