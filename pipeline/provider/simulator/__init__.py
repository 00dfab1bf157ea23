"""The embedded provider: a real server speaking the chat dialect, faults on order.

::

    child     starts it beside a run and ends it   ->  __main__   its other end
    server    the door: routes, key, limits, bill  ->  catalog    the models it offers
    desk      one request becomes one reply        ->  asked, fate, reply, delivery
    stage     a scenario in place of all that       ->  turnstile, counting
    painter   threads that make the images         ->  draw, prebuilt, png
"""
