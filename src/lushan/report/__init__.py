"""A study, or the runs of some folders, as a static page.

    groups      what is on the page: runs in groups that differ in nothing but the seed
    curves      numbers over the steps, of each group with its band
    class_scores  scores and confusion of classes, from stored predictions
    examples    stored predictions in the few bytes a browser needs
    media       small copies of their images
details     facts of each run
    page        index.html: all that can be read without a script
    site        the files, written beside their place and then put there

`assets/` holds what runs in the browser.
"""
